"""The steps of a run's crash drill, for everyone who looks at the page of that run."""

from typing import NamedTuple

import streamlit as st

from fashion_core.resume import drill as drills
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Drill, State, epoch_text
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
        other = drills.twin(store, run)
        ended = other is not None and drills.compare(run, other) is not None
        st.fragment(_show_steps, run_every=None if ended else 1.0)(store, run, ended)


@common.problems_shown()
def _show_steps(store: RunStore, run: Run, had_ended: bool) -> None:
    login.send_strangers_away()
    run_status.advance(store)
    drill, twin, state = run.drill, drills.twin(store, run), run.state()
    if login.actions(store).continue_drill(run) or drill is None:
        st.rerun()
    with st.container(border=True):
        st.header(texts.CRASH_DRILL)
        for step in _steps(run, drill, state):
            look = f"{step.icon} **{step.title}** {step.text}" if step.text else f":gray[{step.icon} {step.title}]"
            st.markdown(look)
        if twin and drill.continued:
            if _show_twin(store, run, twin) and not had_ended:
                st.rerun()
        elif state == "finished":
            st.caption(texts.NO_TWIN)


def _steps(run: Run, drill: Drill, state: State) -> list[_Step]:
    killed = texts.KILLED_IN.format(
        process=drill.pid,
        epoch=epoch_text(drill.epoch, run.record.span),
        batch=drill.batch,
        batches=run.record.config.batches_per_epoch,
    )
    source = texts.FROM_BEGINNING if drill.source is None else texts.FROM_CHECKPOINT.format(epoch=drill.source)
    goes_on = drill.continued or state != "lost"
    return [
        _Step(":material/bolt:", texts.KILLED, killed),
        _Step(":material/search:", texts.FOUND_LOST, texts.EVERY_CHECKPOINT_WHOLE),
        _Step(":material/play_arrow:", texts.CONTINUED, source if goes_on else ""),
        _Step(":material/flag:", texts.ENDED, texts.AFTER_LAST_EPOCH if state == "finished" else ""),
    ]


def _show_twin(store: RunStore, run: Run, twin: Run) -> bool:
    """Show how far the twin is, or whether both ended in the same bits; return whether they have ended."""
    found = drills.compare(run, twin)
    if found is None:
        st.markdown(f":gray[:material/join_inner: {texts.SAME_BITS_AWAITED}]")
        st.caption(texts.TWIN_ON_ITS_WAY.format(where=run_status.whereabouts(store, twin)))
    elif found.same:
        st.success(texts.SAME_BITS, icon=":material/verified:")
    else:
        st.error(texts.OTHER_BITS, icon=":material/call_split:")
    if found:
        st.caption(texts.DIGESTS)
        st.code(f"{found.ours}\n{found.theirs}", language=None, wrap_lines=True)
    if st.button(texts.OPEN_TWIN, icon=":material/visibility:", type="tertiary"):
        address.begin_anew(run=twin.id)
        st.rerun()
    return found is not None
