"""Which file the Predict page uses, and which one it is compared with; both stand in the address."""

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from fashion_core.charts.evaluation import CELL
from fashion_core.charts.gallery import IMAGE
from fashion_core.errors import ConfigError, DamagedFileError, DiskError, RunNotFoundError, UnusableFileError
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import common
from fashion_core.ui.saved_file import OTHER, Chosen, addressed_file, addressed_other

_CHECKPOINTS = "model_save/"


def usable(chosen: Chosen) -> Chosen:
    """Return the file if its model can be used. Raises ``DamagedFileError`` or ``UnusableFileError``."""
    if chosen.damage:
        raise DamagedFileError(chosen.file, chosen.damage)
    if chosen.contents.problem:
        raise UnusableFileError(chosen.contents.problem)
    return chosen


def ask_file(store: RunStore) -> Chosen | None:
    """The file that the address names, or the best one of its run or of the newest run; None if there is none."""
    runs = store.runs_with(Run.has_saved_files)
    if not runs:
        return None
    wanted = next((run for run in runs if run.id == st.query_params.get("run")), runs[0])
    chosen = _addressed_or_error(lambda: _addressed(store)) or _first_choice(store, wanted)
    _ask_run_and_file(chosen, runs, ("Run", "File"), _address)
    _address(chosen.run.id, chosen.name)
    _forget_other_dataset(chosen)
    return chosen


def _addressed_or_error(find: Callable[[], Chosen | None]) -> Chosen | None:
    """What the address names. If that does not exist, say so; another file can still be chosen."""
    try:
        return find()
    except (ConfigError, RunNotFoundError) as error:
        st.error(f"{common.sentence(error)} Another file is used instead.", icon=":material/error:")
        return None


def _address(run: str, file: str | None) -> None:
    """Let the address name this file, or the run alone; the rest of it stays."""
    epoch = file.removeprefix(_CHECKPOINTS) if file and file.startswith(_CHECKPOINTS) else ""
    if epoch.isdecimal():
        common.address(run=run, epoch=epoch, file=None)
    elif file:
        common.address(run=run, epoch=None, file=file)
    else:
        common.address(epoch=None, file=None)  # first: in another run they name something else
        common.address(run=run)


def _forget_other_dataset(chosen: Chosen) -> None:
    """An image, a cell and a second file belong to one dataset: remove them from the address for another one."""
    dataset = chosen.run.record.config.dataset
    if st.session_state.setdefault("dataset of the address", dataset) != dataset:
        for name in (IMAGE, CELL, OTHER):
            st.query_params.pop(name, None)
        st.session_state["dataset of the address"] = dataset


def _addressed(store: RunStore) -> Chosen | None:
    chosen = addressed_file(store)
    if chosen or "run" not in st.query_params:
        return chosen
    return _first_choice(store, store.get(st.query_params["run"]))


def ask_other(chosen: Chosen) -> Chosen:
    """A second file for the same dataset: the one that the address names, else the one before the chosen file."""
    store, dataset = chosen.store, chosen.run.record.config.dataset
    runs = [run for run in store.runs_with(Run.has_saved_files) if is_on(run, dataset)]
    other = _addressed_or_error(lambda: _addressed_other(store)) or neighbour(chosen)
    _ask_run_and_file(other, runs, ("Second run", "Second file"), _address_other)
    return other


def _addressed_other(store: RunStore) -> Chosen | None:
    other = addressed_other(store)
    if other is None:
        return None
    run, name = other
    return Chosen(store, run, run.saved_file(name)) if name else _first_choice(store, run)


def _address_other(run: str, file: str | None) -> None:
    st.query_params[OTHER] = f"{run}/{file or ''}"


def is_on(run: Run, dataset: str) -> bool:
    with suppress(DamagedFileError, DiskError):
        return run.record.config.dataset == dataset
    return False


def neighbour(chosen: Chosen) -> Chosen:
    """The file before this one, else the one after it, else itself; the last one if this one has just been deleted."""
    saved = chosen.run.saved_files()
    place = saved.index(chosen.file) if chosen.file in saved else len(saved)
    before, after = saved[:place], saved[place + 1 :]
    return Chosen(chosen.store, chosen.run, [*before[-1:], *after[:1], chosen.file][0])


def _first_choice(store: RunStore, run: Run) -> Chosen:
    """The best checkpoint, else the first file. Raises ``RunNotFoundError`` if there is none."""
    saved = run.saved_files()
    if not saved:
        raise RunNotFoundError(f"Run {run.id} has no saved file yet: wait for its first epoch, or choose another run.")
    best = run.best_epoch()
    return Chosen(store, run, saved[0] if best is None else run.checkpoint_path(best))


def _ask_run_and_file(
    wanted: Chosen, runs: list[Run], labels: tuple[str, str], address: Callable[[str, str | None], None]
) -> None:
    """Two boxes that show which file is used; another choice goes into the address, which the next run reads."""
    known = {run.id: run for run in runs} | {wanted.run.id: wanted.run}
    run_key, file_key = (f"predict {label}" for label in labels)
    st.session_state[run_key], st.session_state[file_key] = wanted.run.id, wanted.name
    best = wanted.run.best_epoch()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            labels[0],
            list(known),
            format_func=lambda run_id: f"{known[run_id].title} · {run_id}",
            key=run_key,
            on_change=lambda: address(st.session_state[run_key], None),
            width=420,
        )
        st.selectbox(
            labels[1],
            [wanted.run.name_of(file) for file in wanted.run.saved_files()],
            format_func=lambda name: f"{name} ★ best" if name == f"{_CHECKPOINTS}{best}" else name,
            key=file_key,
            on_change=lambda: address(wanted.run.id, st.session_state[file_key]),
            width=220,
        )
