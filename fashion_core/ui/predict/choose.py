"""Which file the Predict page uses, and which one it is compared with; both stand in the address."""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import streamlit as st

from fashion_core.charts.evaluation import CELL
from fashion_core.charts.gallery import IMAGE
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError, UnusableFileError
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, run_status
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.predict import texts


def usable(chosen: saved_file.Chosen) -> saved_file.Chosen:
    """Return the file if its model can be used. Raises ``DamagedFileError`` or ``UnusableFileError``."""
    if chosen.damage:
        raise DamagedFileError(chosen.file, chosen.damage)
    if chosen.contents.problem:
        raise UnusableFileError(chosen.contents.problem)
    return chosen


def ask_file(store: RunStore) -> saved_file.Chosen | None:
    """The file that the address names, or the best one of its run or of the newest run; None if there is none."""
    runs = store.runs_with(Run.has_saved_files)
    if not runs:
        return None
    wanted, chosen = address.get("run"), None
    with address.wrong_shown(texts.INSTEAD):
        chosen = saved_file.addressed_file(store)
        run = store.get(wanted) if wanted else runs[0]
        if not chosen and not run.has_saved_files():
            run_status.tell_no_file(run, texts.INSTEAD)
        elif not chosen:
            chosen = _first_choice(store, run)
            address.fill(**common.file_query(chosen.run, chosen.file))
    chosen = chosen or _first_choice(store, next((run for run in runs if run.id == wanted), runs[0]))
    _ask(chosen, runs, (texts.RUN, texts.FILE), partial(_take, chosen.run.record.images))
    run_status.say_newest(store)
    return chosen


def ask_other(chosen: saved_file.Chosen) -> saved_file.Chosen | None:
    """A second file for the same dataset: the one that the address names, else another model; None if there is none."""
    store, images = chosen.store, chosen.run.record.images
    runs = [run for run in store.runs_with(Run.has_saved_files) if is_on(run, images)]
    other = _other_model(chosen, runs)
    with address.wrong_shown(texts.INSTEAD):
        run, file = saved_file.addressed_other(store)
        if run:
            own = _other_epoch(chosen) if run.id == chosen.run.id and not file else None
            other = own or (saved_file.Chosen(store, run, file) if file else _first_choice(store, run))
    if other:
        _ask(other, runs, (texts.SECOND_RUN, texts.SECOND_FILE), saved_file.address_other)
    return other


def _other_model(chosen: saved_file.Chosen, runs: Iterable[Run]) -> saved_file.Chosen | None:
    """The checkpoint that the run was resumed from, else the best of the newest other run, else another epoch."""
    parent, others = chosen.run.record.parent, {run.id: run for run in runs if run.id != chosen.run.id}
    run = others.get(parent.run) if parent else None
    if parent and run and parent.epoch in run.whole_epochs():
        return saved_file.Chosen(chosen.store, run, run.checkpoint_path(parent.epoch))
    newest = next(iter(others.values()), None)
    return _first_choice(chosen.store, newest) if newest else _other_epoch(chosen)


def _other_epoch(chosen: saved_file.Chosen) -> saved_file.Chosen | None:
    """The checkpoint before this model, else the first one after it; None if the run has no other."""
    run, own = chosen.run, chosen.epoch
    epochs = [epoch for epoch in run.whole_epochs() if epoch != own]
    before = [epoch for epoch in epochs if own is None or epoch < own]
    nearest = (*before[-1:], *epochs[:1])
    return saved_file.Chosen(chosen.store, run, run.checkpoint_path(nearest[0])) if nearest else None


def _ask(wanted: saved_file.Chosen, runs: Iterable[Run], labels: tuple[str, str], take: saved_file.Address) -> None:
    names = common.run_names({run.id: run.title for run in (*runs, wanted.run)})
    saved_file.ask_run_and_file(wanted, names, list(map(wanted.run.name_of, wanted.run.saved_files())), labels, take)


def _take(images: str, run: Run, file: str) -> None:
    """Let the address name this file, or the run alone; what belongs to another dataset or file goes."""
    gone = [name for name in st.query_params if name.endswith("-page")]
    gone += [] if is_on(run, images) else [IMAGE, CELL, saved_file.OTHER]
    named = common.file_query(run, run.path / file) if file else {"run": run.id}
    address.go(**{**dict.fromkeys(("epoch", "file", *gone)), **named})


def is_on(run: Run, images: str) -> bool:
    with suppress(DamagedFileError, DiskError):
        return run.record.images == images
    return False


def _first_choice(store: RunStore, run: Run) -> saved_file.Chosen:
    """The best checkpoint, else the first file. Raises ``RunNotFoundError`` if there is none."""
    saved, best = run.saved_files(), run.best_epoch()
    if not saved:
        raise RunNotFoundError(texts.NO_SAVED_FILE.format(run=run.id))
    return saved_file.Chosen(store, run, saved[0] if best is None else run.checkpoint_path(best))
