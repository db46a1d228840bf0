"""What a run looks like on every page: badges, links, damage, where it is and what comes next."""

import time
from contextlib import suppress
from typing import Literal

import streamlit as st

from fashion_core.cache import Cache
from fashion_core.config import DATASET_LABELS, PRESETS, parse_config
from fashion_core.errors import DamagedFileError, DiskError
from fashion_core.files import now
from fashion_core.runs import processes, queue, verify
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES, CONTINUABLE_STATES, State, Status, VerdictKind, epoch_text
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login

ADVANCE_SECONDS = 1.0
SILENT_SECONDS = 30.0  # before the page says that a worker is silent: testing a large model takes a while
_last_advance: Cache[None] = Cache(8)

BADGES: dict[str, tuple[str, Literal["red", "orange", "blue", "green", "gray", "violet"]]] = {
    "queued": (":material/hourglass_empty:", "gray"),
    "running": (":material/play_circle:", "blue"),
    "stopping": (":material/pending:", "orange"),
    "stopped": (":material/pause_circle:", "gray"),
    "finished": (":material/check_circle:", "green"),
    "failed": (":material/error:", "red"),
    "lost": (":material/help:", "orange"),
    "imported": (":material/upload_file:", "violet"),
    "damaged": (":material/broken_image:", "red"),
    "exact": (":material/verified:", "green"),
    "approximate": (":material/rule:", "orange"),
    "weights only": (":material/scale:", "blue"),
    "not usable": (":material/gpp_bad:", "red"),
    "synthetic": (":material/draw:", "gray"),
    "fashion-mnist": (":material/photo_library:", "violet"),
}
"""An icon and a colour for each state of a run, verdict on a file, and dataset."""
GOOD_FOR: dict[VerdictKind, str] = {
    "exact": "It has all that an exact resume needs: weights, optimizer, epoch, settings and seed. On the same kind of "
    "machine, with as many threads, training continues bit for bit.",
    "approximate": "Resuming works, but not bit for bit.",
    "weights only": "Good for using the model, or for training with a fresh optimizer.",
    "not usable": "It can't be loaded here, so nothing can be resumed from it.",
    "damaged": "The file has changed since it was saved, so you can't resume from it. It stays until you delete it.",
}


def badge(word: str) -> None:
    icon, color = BADGES[word]
    st.badge(DATASET_LABELS.get(word, word), icon=icon, color=color)


def run_links(run: Run) -> None:
    address.link("checkpoints.py", "Checkpoints", ":material/save:", {"of": run.id})
    address.link("resume.py", "Resume", ":material/replay:", {"run": run.id})
    address.link("predict.py", "Predict", ":material/image_search:", {"run": run.id})


def show_damage(run: Run) -> None:
    for found in verify.damaged_records(run):
        st.warning(common.sentence(f"Damaged file {found.file}: {found.reason}."), icon=":material/broken_image:")
    with suppress(DamagedFileError, DiskError):
        marked = [name for name in run.verification.files if run.known_damage(run.path / name)]
        if marked:
            text = f"Damaged: {', '.join(marked)}. Verify on the Checkpoints page says what is wrong."
            st.warning(common.plain(text), icon=":material/broken_image:")


def welcome(store: RunStore) -> None:
    if store.runs():
        text = "No saved file yet. Each run saves a checkpoint at the end of each epoch."
        st.info(text, icon=":material/hourglass_empty:")
        return
    with st.container(border=True):
        st.header("No runs yet")
        st.write(
            "Train the tutorial's network on synthetic garments: nothing to download, and in about ten seconds "
            "there is a run to look at, with a checkpoint for each epoch."
        )
        watch_it_train(store, width="content")


def watch_it_train(store: RunStore, width: Literal["stretch", "content"] = "stretch") -> None:
    if login.button("Watch it train", type="primary", icon=":material/play_arrow:", width=width):
        run = login.actions(store).start(parse_config({**PRESETS["demo"].values, "name": "First run"}))
        address.switch_page("train.py", {"run": run.id})


@common.problems_shown()
def advance(store: RunStore) -> None:
    """Move the queue on; show what prevents that, and continue with the page."""
    move_queue(store)


def move_queue(store: RunStore) -> None:
    """Move the queue on, at most once a second for all visitors. Raises what ``queue.advance`` raises."""
    _last_advance.get(store.root, int(time.monotonic() / ADVANCE_SECONDS), lambda: queue.advance(store, patience=0))


def offer_to_continue(store: RunStore, run: Run, state: State) -> None:
    if state in CONTINUABLE_STATES and login.button("Continue", icon=":material/play_arrow:"):
        login.actions(store).continue_run(run)
        st.rerun()


def whereabouts(store: RunStore, run: Run, state: State | None = None) -> str:
    """Where the run is and what comes next, in one line; ``state`` saves asking for it again."""
    config, status = run.record.config, run.status
    state = state or run.state(status)
    span, last = run.record.span, config.epochs - 1
    if state == "queued":
        ahead = queue.queue_position(store, run)
        return f"{common.count(ahead, 'run')} ahead" if ahead else "next to start"
    source = run.record.source
    if state == "imported" and source:
        return f"imported from {common.plain(source.name)} ({source.format}); trained elsewhere"
    if state == "finished":
        return f"{epoch_text(last, span)} done"
    if state == "lost":
        return "its process has ended; Continue starts from the newest undamaged checkpoint"
    epoch = epoch_text(min(status.epoch, last), span)
    where = f"{epoch}, batch {status.batch:,} of {config.batches_per_epoch:,}"
    if state == "running" and status.phase:
        where = f"{where}, {status.phase}"
    return f"{where}{_silence(status)}" if state in ACTIVE_STATES else where


def _silence(status: Status) -> str:
    if status.process and processes.is_suspended(status.process):
        return f"; its process is suspended: kill -CONT {status.process.pid} on this machine resumes it"
    seconds = now() - status.heartbeat
    return f"; no update for {common.duration(seconds)}" if seconds > SILENT_SECONDS else ""
