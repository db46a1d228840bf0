"""What the parts of the Predict page share: the chosen file, and what its model says, once for all viewers."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import streamlit as st

from fashion_core import ui
from fashion_core.errors import DamagedFileError, RefusedFileError, RunNotFoundError
from fashion_core.file_views import Chosen
from fashion_core.files import Signature, signature
from fashion_core.predict_client import predictor
from fashion_core.preparation import Prepared
from fashion_core.runs import Run, RunStore
from fashion_core.scores import Answers, Array

OTHER = "with"
"""Where the address names a second file."""
_ANSWERS_KEPT, _ROWS_KEPT, _IMAGES_KEPT = 16, 5000, 64


def usable(chosen: Chosen) -> Chosen:
    """The same file, if its model can be used. Raises ``DamagedFileError`` or ``RefusedFileError``."""
    if chosen.damage:
        raise DamagedFileError(chosen.file, chosen.damage)
    found = chosen.found
    if found.problem:
        raise RefusedFileError(found.problem.removeprefix("The file is refused: ").rstrip("."), found.refused)
    return chosen


def test_images(dataset: str) -> tuple[Array, Array]:
    """Pixels (N, 28, 28) uint8 and labels (N,) int64 of a dataset's test half. Raises ``WorkerError``."""
    return _test_images(dataset)


@st.cache_resource(max_entries=2, show_spinner="Reading the test images…")
def _test_images(dataset: str) -> tuple[Array, Array]:
    return predictor().test_images(dataset)


def answers(chosen: Chosen) -> Answers:
    """What the file's model says about all test images. Raises ``WorkerError`` or ``DiskError``."""
    config = chosen.run.record.config
    return _answers(str(chosen.file), signature(chosen.file), config.dataset, config.pixels)


@st.cache_resource(max_entries=_ANSWERS_KEPT, show_spinner="Asking the model about all test images…")
def _answers(path: str, key: Signature, dataset: str, scaling: str) -> Answers:
    _, labels = test_images(dataset)
    return Answers(predictor().evaluate(Path(path), dataset, scaling), labels)


def correct(chosen: Chosen) -> Array:
    """(N,) bool: which test images it gets right; of many checkpoints this is all that is kept."""
    config = chosen.run.record.config
    return _correct(str(chosen.file), signature(chosen.file), config.dataset, config.pixels)


@st.cache_resource(max_entries=_ROWS_KEPT, show_spinner=False)
def _correct(path: str, key: Signature, dataset: str, scaling: str) -> Array:
    _, labels = test_images(dataset)
    return Answers(predictor().evaluate(Path(path), dataset, scaling), labels).correct


def opinion(run: Run, file: Path, pixels: Array) -> Array:
    """(10,) float32: what one file's model says about one image (28, 28) uint8."""
    return _opinion(str(file), signature(file), run.record.config.pixels, pixels.tobytes())


@st.cache_resource(max_entries=_ROWS_KEPT, show_spinner=False)
def _opinion(path: str, key: Signature, scaling: str, pixels: bytes) -> Array:
    image = np.frombuffer(pixels, np.uint8).reshape(1, 28, 28)
    return np.asarray(predictor().predict(Path(path), image, scaling)[0])


@st.cache_resource(max_entries=_IMAGES_KEPT, show_spinner="Preparing the image…")
def prepared(file: bytes) -> Prepared:
    """A person's image made like the training set. Raises ``WorkerError``."""
    return predictor().prepare(file)


def ask_file(store: RunStore) -> Chosen | None:
    """The file that the address names, or the best one of the newest run; None in an empty store."""
    runs = [run for run in store.runs() if run.saved_files()]
    if not runs:
        return None
    wanted = _addressed(store) or _first_choice(store, runs[0])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = choose(wanted, runs, "model", address)
    address(chosen)
    return chosen


def address(chosen: Chosen) -> None:
    """Let the address name this file; the rest of it stays."""
    for name in ("run", "epoch", "file"):
        st.query_params.pop(name, None)
    st.query_params.update(ui.file_query(chosen.run, chosen.file))


def _addressed(store: RunStore) -> Chosen | None:
    """Raises ``RunNotFoundError`` if the address names a run or file that is not there."""
    query = st.query_params
    if "run" not in query:
        return None
    run = store.get(query["run"])
    epoch = query.get("epoch")
    if epoch is not None and not epoch.isdecimal():
        raise RunNotFoundError(f"An epoch is a whole number such as 3, not {epoch!r}: mend the address.")
    name = query.get("file", f"model_save/{epoch}" if epoch is not None else None)
    return _first_choice(store, run) if name is None else Chosen(store, run, run.saved_file(name))


def ask_other(chosen: Chosen) -> Chosen:
    """A second file of the same dataset: the one that the address names, else the checkpoint before the chosen one."""
    store, dataset = chosen.store, chosen.run.record.config.dataset
    runs = [run for run in store.runs() if _is_on(run, dataset) and run.saved_files()]
    run_id, _, name = st.query_params.get(OTHER, "").partition("/")
    run = store.get(run_id) if run_id else chosen.run
    wanted = Chosen(store, run, run.saved_file(name)) if run_id else _before(chosen)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        return choose(wanted, runs, "other", _address_other)


def _address_other(other: Chosen) -> None:
    st.query_params[OTHER] = f"{other.run.id}/{other.name}"


def _is_on(run: Run, dataset: str) -> bool:
    with suppress(DamagedFileError):
        return run.record.config.dataset == dataset
    return False


def _before(chosen: Chosen) -> Chosen:
    """The file listed before this one, or after it if it is the first."""
    saved = chosen.run.saved_files()
    place = saved.index(chosen.file)
    return Chosen(chosen.store, chosen.run, saved[place - 1] if place else saved[min(1, len(saved) - 1)])


def _first_choice(store: RunStore, run: Run) -> Chosen:
    """The best checkpoint, else the first file. Raises ``RunNotFoundError`` if there is none."""
    saved = run.saved_files()
    if not saved:
        raise RunNotFoundError(f"Run {run.id} has no saved file yet: wait for its first epoch, or choose another run.")
    best = run.best_epoch()
    return Chosen(store, run, saved[0] if best is None else run.checkpoint_path(best))


def choose(wanted: Chosen, runs: list[Run], key: str, write: Callable[[Chosen], None]) -> Chosen:
    """Two boxes, the run and its file; ``write`` puts another choice into the address."""
    store = wanted.store
    known = {run.id: run for run in runs} | {wanted.run.id: wanted.run}
    run_key, file_key = f"{key} run", f"{key} file"
    st.session_state[run_key], st.session_state[file_key] = wanted.run.id, wanted.name
    st.selectbox(
        "Run",
        list(known),
        format_func=lambda run_id: f"{known[run_id].title} · {run_id}",
        key=run_key,
        on_change=lambda: write(_first_choice(store, known[st.session_state[run_key]])),
        width=420,
    )
    best = wanted.run.best_epoch()
    st.selectbox(
        "File",
        [wanted.run.name_of(file) for file in wanted.run.saved_files()],
        format_func=lambda name: f"{name} ★ best" if name == f"model_save/{best}" else name,
        key=file_key,
        on_change=lambda: write(Chosen(store, wanted.run, wanted.run.saved_file(st.session_state[file_key]))),
        width=220,
    )
    return wanted
