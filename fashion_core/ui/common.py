"""The few Streamlit pieces that pages share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pandas as pd
import streamlit as st
from streamlit.navigation.page import StreamlitPage

from fashion_core.cache import LatestCache
from fashion_core.clock import now
from fashion_core.config import DATASET_LABELS, PRESETS, TrainConfig, parse_config
from fashion_core.errors import DamagedFileError, DiskError, FashionError
from fashion_core.runs import processes, queue, tables, verify
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES, State, Status, VerdictKind
from fashion_core.runs.store import RunStore
from fashion_core.ui import login
from fashion_core.ui.login import actions as actions
from fashion_core.ui.words import plain as plain
from fashion_core.ui.words import sentence as sentence

ADVANCE_SECONDS = 1.0
SILENT_SECONDS = 30.0
"""How old the heartbeat of a running run may be without a word about it: measuring a large model takes a while."""
PAGE_ROWS = 500
NAME_WIDTH = 40  # characters
_last_advance: LatestCache[None] = LatestCache(8)
_PRESSES = "presses"
Color = Literal["red", "orange", "blue", "green", "gray", "violet"]

STATES: dict[str, tuple[str, Color]] = {
    "queued": (":material/hourglass_empty:", "gray"),
    "running": (":material/play_circle:", "blue"),
    "stopping": (":material/pending:", "orange"),
    "stopped": (":material/pause_circle:", "gray"),
    "finished": (":material/check_circle:", "green"),
    "failed": (":material/error:", "red"),
    "lost": (":material/help:", "orange"),
    "imported": (":material/upload_file:", "violet"),
    "damaged": (":material/broken_image:", "red"),
}
"""An icon and a colour for each state; its word always stands beside them."""

VERDICTS: dict[VerdictKind, tuple[str, Color, str]] = {
    "exact": (
        ":material/verified:",
        "green",
        "It carries all that an exact resume needs: weights, optimizer, epoch, settings and seed. On the same kind of "
        "machine, with as many threads, training goes on bit for bit.",
    ),
    "approximate": (":material/rule:", "orange", "Resuming works, but not bit for bit."),
    "weights only": (
        ":material/scale:",
        "blue",
        "Good for using the model, or for training on with an optimizer that starts fresh.",
    ),
    "untrusted": (":material/gpp_bad:", "red", "It can't be loaded here, so nothing can be resumed from it."),
    "damaged": (
        ":material/broken_image:",
        "red",
        "It is no longer what was saved: nothing can be resumed from it. It stays where it is until you delete it.",
    ),
}
"""What a saved file is good for when training goes on: an icon, a colour, and a sentence to stand beside the word."""


def navigation(pages: list[StreamlitPage]) -> StreamlitPage:
    """The bar of pages, with the way out for those who have logged in; none for those who may not come in."""
    found = login.visitor()
    if found is None:
        return st.navigation(pages, position="hidden")
    if not found.logged_in:
        return st.navigation(pages, position="top")
    way_out = st.Page(login.log_out, title="Log out", icon=":material/logout:", url_path="logout")
    name = found.name if len(found.name) <= NAME_WIDTH else f"{found.name[: NAME_WIDTH - 1]}…"
    return st.navigation({"": pages, f"{plain(name)} · {found.role}": [way_out]}, position="top")


def press_key(button: str) -> str:
    """A key for a button that starts something; after ``count_press`` a second press finds another one in its place."""
    return f"{button} {st.session_state.get(_PRESSES, 0)}"


def count_press() -> None:
    """To be called first when such a button was pressed."""
    st.session_state[_PRESSES] = st.session_state.get(_PRESSES, 0) + 1


def store() -> RunStore:
    """The store of this server."""
    return RunStore()


@contextmanager
def problems_shown() -> Iterator[None]:
    """Show a problem that a person can mend as one sentence; anything else is a bug and is raised."""
    try:
        yield
    except FashionError as error:
        st.error(sentence(error), icon=":material/error:")


def state_badge(state: str) -> None:
    """The state as icon, word and colour."""
    icon, color = STATES[state]
    st.badge(state, icon=icon, color=color)


def show_damage(run: Run) -> None:
    """What is wrong with the files that the run keeps about itself, and with those that ``verify`` marked."""
    for found in verify.damaged_records(run):
        st.warning(sentence(f"Damaged file {found.file}: {found.reason}."), icon=":material/broken_image:")
    with suppress(DamagedFileError, DiskError):
        marked = [name for name in run.verification.files if run.damage(run.path / name, run.verification)]
        if marked:
            text = f"Damaged: {', '.join(marked)}. Verify on the Checkpoints page says what is wrong."
            st.warning(plain(text), icon=":material/broken_image:")


def verdict_badge(verdict: VerdictKind) -> None:
    """What the file is good for as icon, word and colour."""
    icon, color, _ = VERDICTS[verdict]
    st.badge(verdict, icon=icon, color=color)


def welcome(store: RunStore) -> None:
    """A store without saved files: word of the runs that will have some, or one button that trains a first run."""
    if store.runs():
        text = "No saved file yet: they appear as the epochs of the runs end."
        st.info(text, icon=":material/hourglass_empty:")
        return
    with st.container(border=True):
        st.subheader("No runs yet")
        st.write(
            "Train the tutorial's network on synthetic garments: nothing to download, and in about ten seconds "
            "there is a run to look at, with a checkpoint of each epoch."
        )
        if login.button("Train a first run", type="primary", icon=":material/play_arrow:"):
            run = actions(store).start(parse_config({**PRESETS["demo"].values, "name": "First run"}))
            st.switch_page("train.py", query_params={"run": run.id})


def address(**query: str | int | None) -> None:
    """Put this into the address, and take away what is None.

    What is put in is one step of the browser's history, each name that is taken away another.
    """
    changed = {name: str(value) for name, value in query.items() if value is not None}
    if any(st.query_params.get(name) != value for name, value in changed.items()):
        st.query_params.update(changed)
    for name in query:
        if name not in changed:
            st.query_params.pop(name, None)


def file_query(run: Run, file: Path) -> dict[str, str]:
    """How the address of the page of checkpoints names a saved file."""
    epoch = run.epoch_of(file)
    return {"run": run.id, **({"epoch": str(epoch)} if epoch is not None else {"file": run.name_of(file)})}


def checkpoints_link(run: Run) -> None:
    """The way to every saved file of a run."""
    st.page_link("checkpoints.py", label="Checkpoints", icon=":material/save:", query_params={"of": run.id})


def resume_link(run: Run) -> None:
    """The way to going on from one of a run's checkpoints."""
    st.page_link("resume.py", label="Resume", icon=":material/replay:", query_params={"run": run.id})


def predict_link(run: Run) -> None:
    """The way to using one of a run's models."""
    st.page_link("predict.py", label="Predict", icon=":material/image_search:", query_params={"run": run.id})


def dataset_badge(config: TrainConfig) -> None:
    """Which dataset the run uses, so that no one takes one for the other."""
    real = config.dataset == "fashion-mnist"
    icon = ":material/photo_library:" if real else ":material/draw:"
    st.badge(DATASET_LABELS[config.dataset], icon=icon, color="violet" if real else "gray")


def duration(seconds: float | None) -> str:
    """Seconds as people say them, such as "2 min 5 s"."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def age(moment: datetime) -> str:
    """How long ago that was, in its largest unit."""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def model_expander(name: str) -> None:
    """``print(model)`` and the table of layers; torch is asked only once it is opened."""
    expander = st.expander("The model: print(model) and its layers", icon=":material/layers:", on_change="rerun")
    if not expander.open:
        return
    with expander, problems_shown(), st.spinner("Building the model…"):
        described = queue.describe_model(name)
        st.code(f">>> print(model)\n{described['text']}", language=None)
        layers = pd.DataFrame(described["layers"])
        layers["output_shape"] = [" × ".join(map(str, shape)) for shape in layers["output_shape"]]
        layers.columns = pd.Index(["layer", "class", "output of one image", "parameters"])
        style = {"parameters": st.column_config.NumberColumn(format="localized")}
        st.dataframe(layers, hide_index=True, column_config=style)
        st.caption(f"{described['parameters']:,} parameters")


def machine_expander() -> None:
    """The devices of this machine; torch is asked only once it is opened."""
    expander = st.expander("This machine: what it can train on", icon=":material/memory:", on_change="rerun")
    if not expander.open:
        return
    with expander, problems_shown(), st.spinner("Looking…"):
        here = queue.machine()
        rows = [
            (name, text, here.threads if name == "cpu" else None, name == here.automatic, here.has_bf16(name))
            for name, text in here.devices.items()
        ]
        columns = ["device", "processor", "threads", "taken by auto", "has bf16 instructions"]
        st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True)


def ask_page(pages: int, key: str, wanted: int = 0) -> int:
    """Which page of a long list to show, from 0; its number stands in the address. ``wanted`` until one is chosen."""
    if pages <= 1:
        return 0
    if not 1 <= st.session_state.get(key, 1) <= pages:
        del st.session_state[key]  # there were more of them before
    return st.pagination(pages, default=wanted + 1, key=key, bind="query-params") - 1


def ask_rows(rows: pd.DataFrame, key: str, wanted: int = 0) -> pd.DataFrame:
    """As many rows of a long table as a browser takes at once; at first those around row ``wanted``."""
    number = ask_page(-(-len(rows) // PAGE_ROWS), key, wanted // PAGE_ROWS)
    return rows.iloc[number * PAGE_ROWS : (number + 1) * PAGE_ROWS]


def advance(store: RunStore) -> None:
    """Let the queue move on, once a second for all who look; what keeps it from that is shown, and the page goes on.

    Every part of a page that runs by itself calls this, so it also ends the view of somebody whose login has ended.
    """
    login.send_strangers_away()
    with problems_shown():
        move_queue(store)


def move_queue(store: RunStore) -> None:
    """Let the queue move on, once a second for all who ask. Raises what ``jobs.advance`` does."""
    _last_advance.get(store.root, int(time.monotonic() / ADVANCE_SECONDS), lambda: queue.advance(store, patience=0))


def whereabouts(store: RunStore, run: Run, state: State | None = None) -> str:
    """Where the run is and what comes next, in one line; ``state`` is its state, where that has been asked for."""
    config, status = run.record.config, run.status
    state = state or run.state(status)
    first, last = run.record.first_epoch, config.epochs - 1
    if state == "queued":
        ahead = queue.queue_position(store, run)
        return f"{ahead} to start before it" if ahead else "next to start"
    source = run.record.source
    if state == "imported" and source:
        return f"brought in from {plain(source.name)} ({source.format}); trained elsewhere"
    if state == "finished":
        return f"epochs {first:,} to {last:,} done" if last > first else f"epoch {last:,} done"
    if state == "lost":
        return "its process is gone; Continue goes on from the newest whole checkpoint"
    epoch = min(status.epoch, last)
    where = f"epoch {epoch:,} of {first:,}–{last:,}, batch {status.batch:,} of {config.batches_per_epoch:,}"
    if state == "running" and status.phase:
        where = f"{where}, {status.phase}"
    return f"{where}{_silence(status)}" if state in ACTIVE_STATES else where


def _silence(status: Status) -> str:
    """What people should know about a worker that is there and writes nothing; nothing about one that does."""
    if status.process and processes.is_suspended(status.process):
        return f"; its process is suspended: kill -CONT {status.process.pid} on this machine wakes it"
    seconds = now() - status.heartbeat
    return f"; nothing heard of it for {duration(seconds)}" if seconds > SILENT_SECONDS else ""


def time_left(run: Run) -> str:
    """How long a running run still takes; nothing for another one."""
    status = run.status
    seconds = tables.progress(run.record.config, status, run.record.first_epoch).seconds_left
    return f"{duration(seconds)} left" if run.state(status) == "running" and seconds is not None else ""


def loss_text(loss: float | None) -> str:
    """A loss with four decimals, or as a power of ten when it runs away, or a dash where there is none yet."""
    if loss is None:
        return "–"
    return f"{loss:.4f}" if loss < 1000 else f"{loss:.1e}"
