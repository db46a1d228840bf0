"""What resuming looks like: the verdict on a plan, the runs of one click, where a resumed run comes from."""

from collections.abc import Sequence
from contextlib import suppress

import pandas as pd
import streamlit as st

from fashion_core.config import TrainConfig
from fashion_core.data.description import describe, images_here
from fashion_core.errors import (
    FashionError,
    counted,
    printable,
)
from fashion_core.formats import model_size
from fashion_core.resume import answers, bitwise, comparison, plan, reasons, verdict
from fashion_core.resume.texts import LAYER_COLUMNS, SAME_SETTINGS
from fashion_core.resume.transfer import Layers, frozen_of, trained_beside
from fashion_core.runs import tables, torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, Resumption
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status, settings_form, texts
from fashion_core.ui.snippets import scripts


def ask_freeze(run: Run, requests: Sequence[plan.ResumeRequest]) -> bool | None:
    """Ask whether to leave what is kept as it is, where one of the resumes is a transfer or its parent did so."""
    frozen = bool(run.record.frozen)
    if not (frozen or any(plan.is_transfer(run, one) for one in requests)):
        return None
    return st.toggle(texts.FREEZE, frozen, key=f"freeze {run.id}", help=texts.FREEZE_HELP)


def show_verdicts(run: Run, requests: list[plan.ResumeRequest], seeds: int) -> bool:
    """Show what each request will produce, or why it can't be planned; return whether it can be."""
    plans: list[plan.Plan] = []
    with common.problems_shown():
        with st.spinner(texts.CHECKING):
            plans = plan.plan_runs(run, plan.with_seeds(run, requests, seeds))
        if len(plans) == 1:
            _show_plan(run, plans[0])
        else:
            rows = [
                (
                    texts.PARENT_EPOCH.format(epoch=p.epoch),
                    _epochs_text(p),
                    p.verdict.kind,
                    "; ".join(reasons.texts(p.verdict.reasons)),
                )
                for p in plans
            ]
            table = pd.DataFrame(rows, columns=texts.VERDICT_COLUMNS)
            common.show_table(table, hide_index=True, alt=texts.RUNS_TO_BE_MADE)
        for layers, frozen in plan.layer_tables(plans):
            _show_layers(layers, frozen)
        for planned in plans:
            torch_process.check_processes(planned.config)
        _warn_of_size(plans)
        settings_form.show_cautions((planned.config.precision, planned.environment.device) for planned in plans)
    return bool(plans)


def _warn_of_size(plans: Sequence[plan.Plan]) -> None:
    """Say which models become large; a resume of the same one is as large as its parent."""
    transfers = [one.config for one in plans if one.layers]
    for told in dict.fromkeys(model_size.caution(one, describe(one.dataset).shape) for one in transfers):
        if told:
            st.warning(told, icon=":material/save:")


def _show_plan(run: Run, planned: plan.Plan) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(planned.verdict.kind)
        st.markdown(_epochs_text(planned, texts.TRAINS_EPOCHS_ONE, texts.TRAINS_EPOCHS_MANY), width="content")
    if why := reasons.texts(planned.verdict.reasons):
        st.markdown("\n".join(f"- {common.plain(reason)}" for reason in why))
    if images_here(planned.config.dataset) != run.record.images:
        st.warning(texts.OTHER_DATASET, icon=":material/swap_horiz:")


def _show_layers(layers: Layers, frozen: Sequence[str]) -> None:
    """What is new or left behind first, then what is kept."""
    (told,) = reasons.texts([layers.told])
    with st.expander(texts.LAYERS.format(told=common.plain(told)), expanded=True):
        rows = sorted(layers.rows, key=lambda row: row.fate == "kept")
        table = pd.DataFrame([row.cells(frozen) for row in rows], columns=LAYER_COLUMNS)
        common.show_table(table, hide_index=True, alt=texts.LAYERS_TABLE)


def _epochs_text(planned: plan.Plan, one: str = texts.EPOCHS_ONE, many: str = texts.EPOCHS_MANY) -> str:
    first, last = planned.epoch + 1, planned.config.epochs - 1
    return counted(last - first + 1, one, many, first=first, last=last)


def show_script(run: Run, request: plan.ResumeRequest) -> None:
    with suppress(FashionError):  # it has been shown above
        config = plan.resumed_config(run, request.epoch, request.additional, request.overrides)
        resumed = _as_script_resumes(run, request, config)
        with st.expander(texts.PLAIN_PYTORCH):
            st.caption(texts.PLAIN_PYTORCH_DIFFERS)
            st.code(scripts.resuming_script(config, resumed), language="python")


def _as_script_resumes(run: Run, request: plan.ResumeRequest, config: TrainConfig) -> scripts.Resumed:
    layers = plan.layers_for(run, request.epoch, config, verdict.inspect_checkpoint(run, request.epoch))
    has_optimizer = verdict.carries_optimizer(run, request.epoch) and (layers is None or layers.same_parameters)
    return scripts.Resumed(
        checkpoint=run.checkpoint_path(request.epoch),
        fresh_optimizer=not has_optimizer or config.optimizer != run.record.config.optimizer,
        is_transfer=layers is not None,
        other_classes=layers.of_other_classes if layers else (),
        trained=trained_beside(config, frozen_of(run, config, layers, request.freeze)),
    )


def show_group(store: RunStore, group: str) -> None:
    runs = plan.runs_of_group(store, group)
    if not runs:
        st.info(common.plain(texts.NO_GROUP.format(group=printable(group))), icon=":material/info:")
        address.show_link(texts.CHOOSE_CHECKPOINT, ":material/replay:")
        return
    active = any(run.state() in UNDER_WAY_STATES for run in runs)
    st.fragment(_show_progress, run_every=1.0 if active else None)(store, runs, active)
    with st.container(horizontal=True):
        address.show_link(texts.HELPED, ":material/compare_arrows:", view=texts.HELPED_VIEW)
        address.show_link(texts.RESUME_MORE, ":material/add:")


@common.problems_shown()
def _show_progress(store: RunStore, started: list[Run], was_active: bool) -> None:
    login.send_strangers_away()
    run_status.advance(store)
    runs = [run for run in started if store.has(run.id)]
    standing = [(run, run.status) for run in runs]
    states = {run.id: run.state(status) for run, status in standing}
    if any(state in UNDER_WAY_STATES for state in states.values()) != was_active:
        common.refresh_page()
    shares = [tables.progress(run.record.config, status, run.record.first_epoch).share for run, status in standing]
    done = sum(state not in UNDER_WAY_STATES for state in states.values())
    ended = counted(done, texts.RUNS_ENDED_ONE, texts.RUNS_ENDED_MANY, runs=len(runs))
    st.progress(sum(shares) / max(1, len(runs)), text=ended)
    if was_active and login.button(texts.CANCEL_ALL, icon=":material/stop:"):
        login.actions(store).cancel(runs)
        st.rerun()
    for said in answers.answers_over_seeds([*filter(None, (comparison.compare_run(store, run) for run in runs))]):
        st.markdown(common.plain(said))
    for run in runs:
        with st.container(horizontal=True, vertical_alignment="center"):
            run_status.badge(states[run.id])
            address.link("train.py", common.plain(run.title), query={"run": run.id})
            st.caption(common.plain(", ".join(_changes(run.record.resumption)) or SAME_SETTINGS), width="content")
            st.caption(common.plain(run_status.whereabouts(store, run, states[run.id])), width="content")


def show_origin(store: RunStore, run: Run, resumption: Resumption) -> None:
    parent = run.record.parent
    there = store.at(parent.run) if parent and store.has(parent.run) else None
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(resumption.verdict)
        name = there.title if there else resumption.parent_name
        st.markdown(texts.RESUMED_FROM.format(name=common.plain(name)), width="content")
        if parent and there:
            query = {"run": parent.run, "epoch": str(parent.epoch)}
            address.link("checkpoints.py", texts.PARENT_EPOCH.format(epoch=parent.epoch), query=query)
        elif parent:
            st.caption(texts.PARENT_EPOCH_DELETED.format(epoch=parent.epoch), width="content")
    changes = _changes(resumption)
    st.caption(common.plain(", ".join(changes) or SAME_SETTINGS))
    if others := [reason for reason in reasons.texts(resumption.reasons) if reason not in changes]:
        st.caption(common.plain("; ".join(others)))


def show_bitwise(store: RunStore, run: Run) -> None:
    """Show whether the epochs that both parent and child trained are bit-identical."""
    parent = run.record.parent
    if parent is None or run.load_check is None or not store.has(parent.run):
        return
    found = bitwise.check_bitwise(run, store.get(parent.run))
    if found.kind == "identical":
        text = texts.IDENTICAL_WITH_TENSORS if found.tensors else texts.IDENTICAL
        st.success(text.format(epoch=found.epoch, tensors=found.tensors), icon=":material/verified:")
    elif found.kind == "different":
        why = common.plain("; ".join(reasons.texts(found.reasons)))
        text = texts.DIFFERENT if why else texts.DIFFERENT_WITHOUT_REASON
        st.info(text.format(epoch=found.epoch, reasons=why), icon=":material/call_split:")


def _changes(resumption: Resumption | None) -> list[str]:
    return [reasons.describe(name, change) for name, change in resumption.changes.items()] if resumption else []
