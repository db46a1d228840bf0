"""What the parts of the Predict page share: the chosen file, and what its model says, once for all viewers."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import streamlit as st

from fashion_core.charts.evaluation import CELL
from fashion_core.charts.gallery import IMAGE
from fashion_core.errors import DamagedFileError, DiskError, RunNotFoundError, UnusableFileError
from fashion_core.files import Signature, signature
from fashion_core.inference.client import PREDICTOR
from fashion_core.inference.prepare import Prepared
from fashion_core.inference.scores import Answers, Array
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import common
from fashion_core.ui.saved_file import Chosen, addressed_file

OTHER = "with"
"""Where the address names a second file."""
_CHECKPOINTS = "model_save/"
_ANSWERS_KEPT, _ROWS_KEPT, _IMAGES_KEPT = 16, 5000, 64


def usable(chosen: Chosen) -> Chosen:
    """The same file, if its model can be used. Raises ``DamagedFileError`` or ``UnusableFileError``."""
    if chosen.damage:
        raise DamagedFileError(chosen.file, chosen.damage)
    if chosen.found.problem:
        raise UnusableFileError(chosen.found.problem)
    return chosen


@st.cache_resource(max_entries=2, show_spinner="Reading the test images…")
def test_images(dataset: str) -> tuple[Array, Array]:
    """Pixels (N, 28, 28) uint8 and labels (N,) int64 of a dataset's test half. Raises ``WorkerError``."""
    return PREDICTOR.test_images(dataset)


def answers(chosen: Chosen) -> Answers:
    """What the file's model says about all test images. Raises ``WorkerError`` or ``DiskError``."""
    config = chosen.run.record.config
    return _answers(str(chosen.file), signature(chosen.file), config.dataset, config.pixels)


@st.cache_resource(max_entries=_ANSWERS_KEPT, show_spinner="Asking the model about all test images…")
def _answers(path: str, key: Signature, dataset: str, scaling: str) -> Answers:
    return _ask(path, dataset, scaling)


def _ask(path: str, dataset: str, scaling: str) -> Answers:
    _, labels = test_images(dataset)
    return Answers(PREDICTOR.evaluate(Path(path), dataset, scaling), labels)


def correct(run: Run, file: Path) -> Array:
    """(N,) bool: which test images a file's model gets right; of many checkpoints this is all that is kept."""
    config = run.record.config
    return _correct(str(file), signature(file), config.dataset, config.pixels)


@st.cache_resource(max_entries=_ROWS_KEPT, show_spinner=False)
def _correct(path: str, key: Signature, dataset: str, scaling: str) -> Array:
    return _ask(path, dataset, scaling).correct


def opinion(run: Run, file: Path, pixels: Array) -> Array:
    """(10,) float32: what one file's model says about one image (28, 28) uint8."""
    return _opinion(str(file), signature(file), run.record.config.pixels, pixels.tobytes())


@st.cache_resource(max_entries=_ROWS_KEPT, show_spinner=False)
def _opinion(path: str, key: Signature, scaling: str, pixels: bytes) -> Array:
    image = np.frombuffer(pixels, np.uint8).reshape(1, 28, 28)
    return np.asarray(PREDICTOR.predict(Path(path), image, scaling)[0])


@st.cache_resource(max_entries=_IMAGES_KEPT, show_spinner="Preparing the image…")
def prepared(file: bytes) -> Prepared:
    """A person's image made like the training set. Raises ``WorkerError``."""
    return PREDICTOR.prepare(file)


def ask_file(store: RunStore) -> Chosen | None:
    """The file that the address names, or the best one of its run or of the newest; None while there is none."""
    runs = store.runs_with(Run.has_saved_files)
    if not runs:
        return None
    wanted = next((run for run in runs if run.id == st.query_params.get("run")), runs[0])
    chosen = _addressed_or_said(lambda: _addressed(store)) or _first_choice(store, wanted)
    _ask_run_and_file(chosen, runs, ("Run", "File"), _address)
    _address(chosen.run.id, chosen.name)
    _drop_what_another_dataset_has_not(chosen)
    return chosen


def _addressed_or_said(find: Callable[[], Chosen | None]) -> Chosen | None:
    """What the address names. If that is not there it is said, and another file can be chosen all the same."""
    try:
        return find()
    except RunNotFoundError as error:
        st.error(f"{common.sentence(error)} Another file is used instead.", icon=":material/error:")
        return None


def _address(run: str, file: str | None) -> None:
    """Let the address name this file, or the best one of the run; the rest of it stays."""
    epoch = file.removeprefix(_CHECKPOINTS) if file and file.startswith(_CHECKPOINTS) else ""
    if epoch.isdecimal():
        common.address(run=run, epoch=epoch, file=None)
    elif file:
        common.address(run=run, epoch=None, file=file)
    else:
        common.address(epoch=None, file=None)  # first, for they name nothing of another run
        common.address(run=run)


def _drop_what_another_dataset_has_not(chosen: Chosen) -> None:
    """An image, a cell and a second file are of one dataset: none of another one is meant by its number."""
    dataset = chosen.run.record.config.dataset
    if st.session_state.setdefault("dataset of the address", dataset) != dataset:
        for name in (IMAGE, CELL, OTHER):
            st.query_params.pop(name, None)
        st.session_state["dataset of the address"] = dataset


def _addressed(store: RunStore) -> Chosen | None:
    """Raises ``RunNotFoundError`` if the address names a run or file that is not there."""
    if "run" not in st.query_params:
        return None
    return addressed_file(store) or _first_choice(store, store.get(st.query_params["run"]))


def ask_other(chosen: Chosen) -> Chosen:
    """A second file of the same dataset: the one that the address names, else the file listed before the chosen one."""
    store, dataset = chosen.store, chosen.run.record.config.dataset
    runs = [run for run in store.runs_with(Run.has_saved_files) if _is_on(run, dataset)]
    other = _addressed_or_said(lambda: _addressed_other(store)) or _before(chosen)
    _ask_run_and_file(other, runs, ("Second run", "Second file"), _address_other)
    return other


def _addressed_other(store: RunStore) -> Chosen | None:
    """Raises ``RunNotFoundError`` if the address names a second run or file that is not there."""
    run_id, _, name = st.query_params.get(OTHER, "").partition("/")
    if not run_id:
        return None
    run = store.get(run_id)
    return Chosen(store, run, run.saved_file(name)) if name else _first_choice(store, run)


def _address_other(run: str, file: str | None) -> None:
    st.query_params[OTHER] = f"{run}/{file or ''}"


def _is_on(run: Run, dataset: str) -> bool:
    with suppress(DamagedFileError, DiskError):
        return run.record.config.dataset == dataset
    return False


def _before(chosen: Chosen) -> Chosen:
    """The file listed before this one, or after it if it is the first; itself if it is the only one.

    The last one where this one has just been deleted.
    """
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
    """Two boxes that say which file is used; another choice goes into the address, which decides at the next run."""
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
