"""What a run looks like on every page: badges, links, damage, where it is and what comes next."""

import time
from contextlib import suppress
from typing import Final, Literal

import streamlit as st

from fashion_core.cache import Cache
from fashion_core.config import PRESETS, parse_config
from fashion_core.data.description import images_label
from fashion_core.errors import DamagedFileError, DiskError, counted
from fashion_core.files import now
from fashion_core.runs import processes, queue, verify
from fashion_core.runs.index.index import AT_ONCE
from fashion_core.runs.launchers import engines
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES, CONTINUABLE_STATES, RunRecord, State, Status, epoch_text
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, texts

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
    "transfer": (":material/move_down:", "violet"),
    "not usable": (":material/gpp_bad:", "red"),
    "synthetic": (":material/draw:", "gray"),
    "fashion-mnist": (":material/photo_library:", "violet"),
}
"""An icon and a colour for each state of a run, verdict on a file, and dataset that is built in."""
_ADDED: Final = (":material/folder_special:", "blue")


def badge(word: str) -> None:
    icon, color = BADGES[word]
    st.badge(word, icon=icon, color=color)


def images_badge(record: RunRecord) -> None:
    icon, color = BADGES.get(record.config.dataset, _ADDED)
    st.badge(common.plain(images_label(record.images)), icon=icon, color=color)


def run_links(run: Run) -> None:
    address.link("checkpoints.py", texts.CHECKPOINTS, ":material/save:", {"of": run.id})
    address.link("resume.py", texts.RESUME, ":material/replay:", {"run": run.id})
    address.link("predict.py", texts.PREDICT, ":material/image_search:", {"run": run.id})


def show_damage(run: Run) -> None:
    for found in verify.damaged_records(run):
        text = texts.DAMAGED_RECORD.format(file=found.file, reason=found.reason)
        st.warning(common.plain(text), icon=":material/broken_image:")
    with suppress(DamagedFileError, DiskError):
        marked = [name for name in run.verification.files if run.known_damage(run.path / name)]
        if marked:
            text = texts.DAMAGED_FILES.format(names=", ".join(marked))
            st.warning(common.plain(text), icon=":material/broken_image:")


def welcome(store: RunStore) -> None:
    if store.ids():
        st.info(texts.NO_SAVED_FILE, icon=":material/hourglass_empty:")
        return
    with st.container(border=True):
        st.header(texts.NO_RUNS)
        st.write(texts.WELCOME)
        watch_it_train(store, width="content")


def say_newest(store: RunStore) -> None:
    """Say it where a list is of the newest runs alone, and where to find the others."""
    if (count := len(store.ids())) > AT_ONCE:
        st.caption(texts.NEWEST_RUNS.format(shown=AT_ONCE, count=count))


def tell_no_file(run: Run, instead: str) -> None:
    """Say that the run has no saved file yet, which is no mistake of an address that names it, and what is done."""
    st.info(texts.NO_FILE_OF_RUN.format(run=common.plain(run.id), instead=instead), icon=":material/hourglass_empty:")


def watch_it_train(store: RunStore, width: Literal["stretch", "content"] = "stretch") -> None:
    if login.button(texts.WATCH_IT_TRAIN, type="primary", icon=":material/play_arrow:", width=width):
        run = login.actions(store).start(parse_config({**PRESETS["demo"].values, "name": texts.FIRST_RUN}))
        address.open_page("train", run=run.id)


@common.problems_shown()
def advance(store: RunStore) -> None:
    """Move the queue on; show what prevents that, and continue with the page."""
    move_queue(store)


def move_queue(store: RunStore) -> None:
    """Move the queue on, at most once a second for all visitors. Raises what ``queue.advance`` raises."""
    _last_advance.get(store.root, int(time.monotonic() / ADVANCE_SECONDS), lambda: queue.advance(store, patience=0))


def offer_to_continue(store: RunStore, run: Run, state: State) -> None:
    if state not in CONTINUABLE_STATES:
        return
    if state == "failed" and run.status.diverged:
        _offer_to_resume_instead(run)
    if login.button(texts.CONTINUE, icon=":material/play_arrow:"):
        login.actions(store).continue_run(run)
        st.rerun()


def _offer_to_resume_instead(run: Run) -> None:
    if saved := run.whole_epochs():
        st.caption(texts.DIVERGES_AGAIN, width="content")
        query = {"run": run.id, "epoch": str(saved[-1])}
        address.link("resume.py", texts.RESUME_FROM_THE_LAST, ":material/replay:", query)
    else:
        st.caption(texts.DIVERGES_AGAIN_FROM_BEGINNING, width="content")


def whereabouts(store: RunStore, run: Run, state: State | None = None) -> str:
    """Where the run is and what comes next, in one line that is no Markdown; ``state`` saves asking for it again."""
    config, status = run.record.config, run.status
    state = state or run.state(status)
    span, last = run.record.span, config.epochs - 1
    if state == "queued":
        return _place_in_queue(store, run, status)
    source = run.record.source
    if state == "imported" and source:
        return texts.IMPORTED.format(name=source.name, format=source.format)
    if state == "finished":
        return _with_restarts(texts.DONE.format(epoch=epoch_text(last, span)), status)
    if state == "lost":
        return texts.LOST
    template = texts.AT_BATCH_IN_PHASE if state == "running" and status.phase else texts.AT_BATCH
    where = template.format(
        epoch=epoch_text(min(status.epoch, last), span),
        batch=status.batch,
        batches=config.batches_per_epoch,
        phase=status.phase,
    )
    where = _with_restarts(where, status)
    return _with_silence(where, status) if state in ACTIVE_STATES else where


def _with_restarts(where: str, status: Status) -> str:
    restarts = status.restarts
    return counted(restarts, texts.RESTARTED_ONE, texts.RESTARTED_MANY, where=where) if restarts else where


def _place_in_queue(store: RunStore, run: Run, status: Status) -> str:
    """In this store's own queue, or in that of the engine that has its job."""
    if job := status.job:
        answer = engines.answer(job)
        where = texts.WAITS_IN_ENGINE.format(engine=engines.title_of(job.launcher), job=job.id)
        where = texts.WHAT_ENGINE_SAYS.format(where=where, words=answer.words) if answer else where
    elif status.launcher not in (None, engines.launcher()):
        return texts.WAITS_FOR_LAUNCHER.format(launcher=status.launcher)
    elif engines.chosen():
        where = texts.NOT_HANDED_OVER
    else:
        ahead = queue.queue_position(store, run)
        return counted(ahead, texts.RUNS_AHEAD_ONE, texts.RUNS_AHEAD_MANY) if ahead else texts.NEXT_TO_START
    return _with_silence_of_engine(where)


def _with_silence_of_engine(where: str) -> str:
    problem = engines.problem()
    return texts.ENGINE_SILENT.format(where=where, problem=problem.rstrip(".")) if problem else where


def _with_silence(where: str, status: Status) -> str:
    if status.job:
        where = _with_silence_of_engine(where)
    if status.process and processes.is_suspended(status.process):
        return texts.SUSPENDED.format(where=where, pid=status.process.pid)
    seconds = now() - status.heartbeat
    is_silent = seconds > SILENT_SECONDS
    return texts.SILENT.format(where=where, duration=common.duration(seconds)) if is_silent else where
