"""The steps of a run's crash drill, for everyone who looks at the page of that run."""

from typing import NamedTuple

import streamlit as st

from fashion_core.resume import drill as drills
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, Drill, RunRecord, State, Status, epoch_text
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status
from fashion_core.ui.present import texts


class _Step(NamedTuple):
    icon: str
    title: str
    text: str  # empty until it has come so far


@common.problems_shown()
def show(store: RunStore, run: Run) -> None:
    """Show nothing for a run without a drill."""
    if run.drill:
        is_moving = _is_moving(run, drills.twin(store, run))
        st.fragment(_show_steps, run_every=1.0 if is_moving else None)(store, run, is_moving)


def _is_moving(run: Run, twin: Run | None) -> bool:
    """Whether anything here will change without a click."""
    return drills.is_pending(run) or any(one.state() in UNDER_WAY_STATES for one in (run, twin) if one)


@common.problems_shown()
def _show_steps(store: RunStore, run: Run, was_moving: bool) -> None:
    login.send_strangers_away()
    run_status.advance(store)
    _continue(store, run)
    drill, twin, state = run.drill, drills.twin(store, run), run.state()
    if drill is None or _is_moving(run, twin) != was_moving:
        common.refresh_page()
    if drill is None:
        return
    with st.container(border=True):
        st.header(texts.CRASH_DRILL)
        for step in _steps(run, drill, state):
            look = f"{step.icon} **{step.title}** {step.text}" if step.text else f":gray[{step.icon} {step.title}]"
            st.markdown(look)
        if drills.is_due(run) and login.actor().role != "operator":
            st.caption(texts.WAITS_FOR_OPERATOR)
        elif twin and not drills.is_pending(run):
            _show_twin(store, run, twin)
        elif state == "finished":
            st.caption(texts.NO_TWIN if drills.can_begin_again(store, run) else texts.NO_TWIN_WITHOUT_PARENT)


@common.problems_shown()
def _continue(store: RunStore, run: Run) -> None:
    if login.actions(store).continue_drill(run):
        common.refresh_page()


def _steps(run: Run, drill: Drill, state: State) -> list[_Step]:
    killed = texts.KILLED_IN.format(
        process=drill.pid,
        epoch=epoch_text(drill.epoch, run.record.span),
        batch=drill.batch,
        batches=run.record.config.batches_per_epoch,
    )
    found = texts.EVERY_CHECKPOINT_WHOLE if run.whole_epochs() == run.epochs_saved() else texts.CHECKPOINTS_DAMAGED
    return [
        _Step(":material/bolt:", texts.KILLED, killed),
        _Step(":material/search:", texts.FOUND_LOST, found),
        _Step(":material/play_arrow:", texts.CONTINUED, _began(run.record, run.status, drill)),
        _Step(":material/flag:", texts.ENDED, texts.AFTER_LAST_EPOCH if state == "finished" else ""),
    ]


def _began(record: RunRecord, status: Status, drill: Drill) -> str:
    """Where the worker that came after the killed one began; empty before anyone has continued the run."""
    if status.continued == drill.continued:
        return ""
    if status.began_at is None or status.continued > drill.continued + 1:  # not loaded yet, or continued once more
        return texts.IN_PLACE
    epoch, batch = status.began_at
    if batch:
        return texts.FROM_STOP.format(epoch=epoch_text(epoch, record.span), batch=batch)
    if epoch > record.first_epoch:
        return texts.FROM_CHECKPOINT.format(epoch=epoch - 1)
    return texts.FROM_PARENT.format(epoch=record.parent.epoch) if record.parent else texts.FROM_BEGINNING


def _show_twin(store: RunStore, run: Run, twin: Run) -> None:
    """Show how far the twin is, or whether both ended in the same bits."""
    found = drills.compare(run, twin)
    if found is None:
        st.markdown(f":gray[:material/join_inner: {texts.SAME_BITS_AWAITED}]")
        st.caption(texts.TWIN_ON_ITS_WAY.format(where=common.plain(run_status.whereabouts(store, twin))))
    elif found.same:
        st.success(texts.SAME_BITS if found.tensors else texts.SAME_WEIGHTS, icon=":material/verified:")
    else:
        st.error(texts.OTHER_BITS, icon=":material/call_split:")
    if found:
        st.caption(texts.DIGESTS)
        st.code(f"{found.ours}\n{found.theirs}", language=None, wrap_lines=True)
    if st.button(texts.OPEN_TWIN, icon=":material/visibility:", type="tertiary"):
        address.begin_anew(run=twin.id)
        st.rerun()
