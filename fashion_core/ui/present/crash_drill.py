"""The steps of a run's crash drill, for everyone who looks at the page of that run."""

from typing import NamedTuple

import streamlit as st

from fashion_core.resume import drill as drills
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Drill, State, epoch_text
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status


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
        st.header("Crash drill")
        for step in _steps(run, drill, state):
            look = f"{step.icon} **{step.title}** {step.text}" if step.text else f":gray[{step.icon} {step.title}]"
            st.markdown(look)
        if twin and drill.continued:
            if _show_twin(store, run, twin) and not had_ended:
                st.rerun()
        elif state == "finished":
            st.caption("It has no undisturbed twin to compare with: a run of the same settings, seed and environment.")


def _steps(run: Run, drill: Drill, state: State) -> list[_Step]:
    config = run.record.config
    where = f"{epoch_text(drill.epoch, run.record.span)}, batch {drill.batch:,} of {config.batches_per_epoch:,}"
    source = "the beginning, as no epoch had been saved" if drill.source is None else f"checkpoint {drill.source}"
    goes_on = drill.continued or state != "lost"
    return [
        _Step(":material/bolt:", "Killed", f"Process {drill.pid} got SIGKILL in {where}."),
        _Step(":material/search:", "Found lost", "Its process is gone; every checkpoint that is listed is whole."),
        _Step(":material/play_arrow:", "Continued", f"From {source}." if goes_on else ""),
        _Step(":material/flag:", "Ended", "After its last epoch." if state == "finished" else ""),
    ]


def _show_twin(store: RunStore, run: Run, twin: Run) -> bool:
    """Show how far the twin is, or whether both ended in the same bits; return whether they have ended."""
    found = drills.compare(run, twin)
    if found is None:
        st.markdown(":gray[:material/join_inner: The same bits]")
        st.caption(f"Its undisturbed twin: {run_status.whereabouts(store, twin)}")
    elif found.same:
        text = "The same bits as its undisturbed twin: every loss, every weight, and the optimizer's state."
        st.success(text, icon=":material/verified:")
    else:
        st.error("Other bits than its undisturbed twin.", icon=":material/call_split:")
    if found:
        st.caption("SHA-256 of model_weights.pth, of this run and of its twin")
        st.code(f"{found.ours}\n{found.theirs}", language=None, wrap_lines=True)
    if st.button("Open the twin", icon=":material/visibility:", type="tertiary"):
        address.begin_anew(run=twin.id)
        st.rerun()
    return found is not None
