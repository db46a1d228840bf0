"""Resume from a checkpoint, and see whether that helped."""

from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from fashion_core.charts import live
from fashion_core.config import settings
from fashion_core.errors import counted
from fashion_core.resume import plan, verdict
from fashion_core.runs import tables
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, comparison, login, resume, run_status, settings_form
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.texts import HELPED, HELPED_VIEW
from pages import texts

FIXED = ("name", "epochs")  # not overridden: epochs are additional ones
ESSENTIAL = ("learning_rate", "batch_size", "optimizer", "schedule", "dataset", "model")


def main() -> None:
    store = RunStore()
    st.title(texts.RESUME)
    st.caption(texts.RESUME_CAPTION)
    views = {
        "Resume": (texts.RESUME, partial(show_resume, store)),
        HELPED_VIEW: (HELPED, partial(comparison.show_comparison, store)),
        "Lineage": (texts.LINEAGE, partial(comparison.show_lineage, store)),
    }
    address.show_tabs(views)


def show_resume(store: RunStore) -> None:
    if group := address.get("group"):
        resume.show_group(store, group)
        return
    if (run := ask_run(store)) is None:
        run_status.welcome(store)
        return
    if not (saved := run.epochs_saved()):
        st.info(texts.NO_CHECKPOINT_YET, icon=":material/hourglass_empty:")
        return
    epoch = addressed_epoch(run, saved)
    ask_and_start(store, run, epoch, saved)


def ask_run(store: RunStore) -> Run | None:
    """The run that the address names, or the newest one with a checkpoint; None while there is none."""
    options = [run.id for run in store.runs_with(Run.epochs_saved)]
    if not options:
        return None
    wanted = options[0]
    with address.wrong_shown(texts.ANOTHER_RUN_INSTEAD):
        if given := address.get("run"):
            wanted = store.get(given).id
    options = options if wanted in options else [wanted, *options]
    names = common.run_names({run_id: store.at(run_id).title for run_id in options})
    address.ask(texts.RUN, names, wanted, lambda run_id: address.go(run=run_id, epoch=None), "stretch")
    run_status.say_newest(store)
    return store.at(wanted)


def addressed_epoch(run: Run, saved: list[int]) -> int:
    """The epoch that the address names, or the newest one, and then this stands there: a rerun must not switch to
    one that was saved meanwhile.
    """
    if not run.id.startswith(address.get("run") or ""):
        return saved[-1]  # the address names a run that is not there, and an epoch of that
    with address.wrong_shown(texts.NEWEST_EPOCH_INSTEAD):
        if (epoch := saved_file.addressed_epoch()) is not None:
            verdict.check_epoch(run, epoch, saved)
            return epoch
        address.fill(run=run.id, epoch=saved[-1])
    return saved[-1]


def show_curve(run: Run, epoch: int, saved: list[int]) -> None:
    epochs = tables.records_frame(epoch_records(run))
    if epochs["loss"].notna().sum() == 0:
        st.caption(texts.LOSS_UNKNOWN)
        return

    def take(point: dict[str, Any]) -> None:
        if point.get("epoch") in saved:
            address.go(epoch=int(point["epoch"]))

    st.caption(texts.CLICK_CHECKPOINT)
    chart = live.chooser_chart(epochs, epoch)
    common.show_clickable(chart, f"curve {run.id}", live.SELECTION, take, texts.LOSS_CHART)


def ask_and_start(store: RunStore, run: Run, epoch: int, saved: list[int]) -> None:
    """Additional epochs and overrides, the verdict on them, and the button; ``epoch`` was found among ``saved``."""
    show_curve(run, epoch, saved)
    with st.container(horizontal=True):
        labels = {at: texts.CHECKPOINT_OPTION.format(epoch=at) for at in saved}
        address.ask(texts.CHECKPOINT, labels, epoch, lambda at: address.go(epoch=at), 200)
        planned = plan.planned_epochs(run, epoch)
        key, hint = f"additional {run.id} {epoch}", texts.ADDITIONAL_EPOCHS_HELP.format(planned=planned)
        additional = st.number_input(texts.ADDITIONAL_EPOCHS, value=planned, step=1, key=key, help=hint, width=200)
        seeds = settings_form.ask_seeds(f"seeds {run.id} {epoch}")
    overrides = ask_overrides(run)
    epochs, several = ask_several(run, epoch, labels)
    asked = [{**overrides, **more} for more in several]
    requests = [plan.ResumeRequest(at, additional, one) for at in epochs for one in asked]
    freeze = resume.ask_freeze(run, requests)
    requests = [replace(request, freeze=freeze) for request in requests]
    can_be_made = resume.show_verdicts(run, requests, seeds)
    datasets = {request.overrides.get("dataset", run.record.config.dataset) for request in requests}
    ready = can_be_made and all(settings_form.is_ready(store, dataset) for dataset in datasets)
    runs = len(requests) * seeds
    label = counted(runs, texts.START_ONE, texts.START_MANY)
    key = common.press_key(f"go {run.id} {epoch}")
    if login.button(label, type="primary", icon=":material/play_arrow:", disabled=not ready, key=key):
        start(store, run, requests, seeds)
    resume.show_script(run, requests[0])


def ask_overrides(run: Run) -> dict[str, Any]:
    """Ask for settings, beginning with the parent's; return those that were changed."""
    parent = run.record.config.model_dump()
    values = settings_form.ask_more(ESSENTIAL, parent, f"resume {run.id} ", *FIXED)
    return {name: value for name, value in values.items() if value != parent[name]}


def ask_several(run: Run, epoch: int, labels: dict[int, str]) -> tuple[list[int], list[dict[str, Any]]]:
    """Ask for several checkpoints and several values of one setting: each pair becomes a run."""
    with st.expander(texts.SEVERAL):
        key = f"epochs {run.id} {epoch}"
        epochs = st.multiselect(texts.CHECKPOINTS, labels, [epoch], labels.__getitem__, key=key)
        names = {setting.name: setting.label for setting in settings() if setting.name not in FIXED}
        hint = texts.NO_SETTING
        name = st.selectbox(texts.SETTING_TO_VARY, names, None, names.__getitem__, key="vary", placeholder=hint)
        text = st.text_input(texts.VALUES_TO_TRY, key="values", disabled=name is None)
    overrides: list[dict[str, Any]] = [{name: value.strip()} for value in text.split(",") if name and value.strip()]
    return epochs or [epoch], overrides or [{}]


def start(store: RunStore, run: Run, requests: list[plan.ResumeRequest], seeds: int) -> None:
    common.count_press()
    with common.problems_shown(), st.spinner(texts.STARTING):
        made = login.actions(store).resume(run, plan.with_seeds(run, requests, seeds))
        resumption = made[0].record.resumption
        if resumption and resumption.group:
            address.go(group=resumption.group, epoch=None)
            st.rerun()
        address.open_page("train", run=made[0].id)


main()
