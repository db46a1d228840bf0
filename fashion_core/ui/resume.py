"""What resuming looks like: the verdict on a plan, the runs of one click, where a resumed run comes from."""

from contextlib import suppress

import pandas as pd
import streamlit as st

from fashion_core.errors import ConfigError, RefusedFileError, printable
from fashion_core.resume import bitwise, comparison, plan, reasons, verdict
from fashion_core.resume.labels import SAME
from fashion_core.runs import tables
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, Resumption
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status, settings_form
from fashion_core.ui.snippets import scripts

HELPED = "Did resuming help?"


def show_verdicts(run: Run, requests: list[plan.ResumeRequest], seeds: int) -> None:
    with common.problems_shown():
        with st.spinner("Checking the checkpoint and this machine…"):
            plans = plan.plan_runs(run, plan.with_seeds(run, requests, seeds))
        if len(plans) == 1:
            _show_plan(run, plans[0])
        else:
            rows = [
                (f"epoch {p.epoch}", _epochs_text(p), p.verdict.kind, "; ".join(reasons.texts(p.verdict.reasons)))
                for p in plans
            ]
            table = pd.DataFrame(rows, columns=["from", "trains", "verdict", "why"])
            common.show_table(table, hide_index=True, alt="The runs to be made")
        settings_form.show_cautions((planned.config.precision, planned.environment.device) for planned in plans)


def _show_plan(run: Run, planned: plan.Plan) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(planned.verdict.kind)
        st.markdown(f"trains {_epochs_text(planned)} in a new run; the parent is not changed", width="content")
    if why := reasons.texts(planned.verdict.reasons):
        st.markdown("\n".join(f"- {common.plain(reason)}" for reason in why))
    if planned.config.dataset != run.record.config.dataset:
        st.warning("This resumes on a different dataset from the parent's.", icon=":material/swap_horiz:")


def _epochs_text(planned: plan.Plan) -> str:
    first, last = planned.epoch + 1, planned.config.epochs - 1
    return f"epoch {first:,}" if first == last else f"epochs {first:,} to {last:,}"


def show_script(run: Run, request: plan.ResumeRequest) -> None:
    with suppress(ConfigError, RefusedFileError):  # they have been shown above
        config = plan.resumed_config(run, request.epoch, request.additional, request.overrides)
        fresh = config.optimizer != run.record.config.optimizer or not verdict.carries_optimizer(run, request.epoch)
        with st.expander("The same in plain PyTorch"):
            st.caption(
                "Its DataLoader shuffles the images differently, so its losses are close to the app's, not equal. "
                "The synthetic garments are drawn by this package, so run it where fashion_core can be imported."
            )
            st.code(scripts.resuming_script(config, run.checkpoint_path(request.epoch), fresh), language="python")


def show_group(store: RunStore, group: str) -> None:
    runs = plan.runs_of_group(store, group)
    if not runs:
        text = f"No run belongs to the group {printable(group)}: they have been deleted, or the address is wrong."
        st.info(common.plain(text), icon=":material/info:")
        address.show_link("Choose a checkpoint", ":material/replay:")
        return
    active = any(run.state() in UNDER_WAY_STATES for run in runs)
    st.fragment(_show_progress, run_every=1.0 if active else None)(store, runs, active)
    with st.container(horizontal=True):
        address.show_link(HELPED, ":material/compare_arrows:", view=HELPED)
        address.show_link("Resume more runs", ":material/add:")


@common.problems_shown()
def _show_progress(store: RunStore, started: list[Run], was_active: bool) -> None:
    login.send_strangers_away()
    run_status.advance(store)
    runs = [run for run in started if store.has(run.id)]
    standing = [(run, run.status) for run in runs]
    states = {run.id: run.state(status) for run, status in standing}
    if any(state in UNDER_WAY_STATES for state in states.values()) != was_active:
        st.rerun()
    shares = [tables.progress(run.record.config, status, run.record.first_epoch).share for run, status in standing]
    done = sum(state not in UNDER_WAY_STATES for state in states.values())
    st.progress(sum(shares) / max(1, len(runs)), text=f"{done} of {len(runs)} runs have ended")
    if was_active and login.button("Cancel all", icon=":material/stop:"):
        login.actions(store).cancel(runs)
        st.rerun()
    for said in comparison.answers_over_seeds([*filter(None, (comparison.compare_run(store, run) for run in runs))]):
        st.markdown(common.plain(said))
    for run in runs:
        with st.container(horizontal=True, vertical_alignment="center"):
            run_status.badge(states[run.id])
            address.link("train.py", common.plain(run.title), query={"run": run.id})
            st.caption(common.plain(", ".join(_changes(run.record.resumption)) or SAME), width="content")
            st.caption(run_status.whereabouts(store, run), width="content")


def show_origin(store: RunStore, run: Run, resumption: Resumption) -> None:
    parent = run.record.parent
    there = store.at(parent.run) if parent and store.has(parent.run) else None
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(resumption.verdict)
        name = there.title if there else resumption.parent_name
        st.markdown(f"resumed from **{common.plain(name)}**", width="content")
        if parent and there:
            query = {"run": parent.run, "epoch": str(parent.epoch)}
            address.link("checkpoints.py", f"epoch {parent.epoch}", query=query)
        elif parent:
            st.caption(f"epoch {parent.epoch}; its run has been deleted", width="content")
    changes = _changes(resumption)
    st.caption(common.plain(", ".join(changes) or SAME))
    if others := [reason for reason in reasons.texts(resumption.reasons) if reason not in changes]:
        st.caption(common.plain("; ".join(others)))


def show_bitwise(store: RunStore, run: Run) -> None:
    """Show whether the epochs that both parent and child trained are bit-identical."""
    parent = run.record.parent
    if parent is None or run.load_check is None or not store.has(parent.run):
        return
    found = bitwise.check_bitwise(run, store.get(parent.run))
    if found.kind == "identical":
        more = f", and all {found.tensors} tensors of the newest checkpoint that both have" if found.tensors else ""
        text = f"Identical to the uninterrupted run up to epoch {found.epoch}, bit for bit: every loss{more}."
        st.success(text, icon=":material/verified:")
    elif found.kind == "different":
        why = "; ".join(reasons.texts(found.reasons)) or "no recorded difference explains it"
        text = f"Differs from the uninterrupted run from epoch {found.epoch} on: {common.plain(why)}."
        st.info(text, icon=":material/call_split:")


def _changes(resumption: Resumption | None) -> list[str]:
    return [reasons.describe(name, change) for name, change in resumption.changes.items()] if resumption else []
