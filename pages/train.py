"""Set up a run, start it, watch it, stop it, continue it."""

import pandas as pd
import streamlit as st

from fashion_core.charts.texts import LIVE_KEY, LIVE_KEY_OF_SEEDS
from fashion_core.config import PRESETS, TrainConfig, expectation, parse_config
from fashion_core.data.description import Description, describe, resolved
from fashion_core.errors import counted
from fashion_core.formats import model_size
from fashion_core.resume import drill, repeats
from fashion_core.resume.again import recipe
from fashion_core.runs import torch_process
from fashion_core.runs.launchers import jobs
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES, CONTINUABLE_STATES, UNDER_WAY_STATES, RunRecord
from fashion_core.runs.store import RunStore
from fashion_core.training import torchrun
from fashion_core.ui import address, common, login, report, resume, run_status, settings_form
from fashion_core.ui.data import add
from fashion_core.ui.live import seeds, snapshot, views
from fashion_core.ui.present import crash_drill
from fashion_core.ui.snippets import scripts
from pages import texts

ESSENTIAL = ("name", "dataset", "model", "epochs", "batch_size", "optimizer", "learning_rate")


def main() -> None:
    store = RunStore()
    if (run_id := address.get("run")) is None:
        show_form(store)
        return
    run = None
    with common.problems_shown():
        run = store.get(run_id)
    if run:
        show_run(store, run)
    else:
        address.show_link(texts.SET_UP_RUN, ":material/add:")


def show_form(store: RunStore) -> None:
    st.title(texts.TRAIN)
    settings_form.show_team_problems()
    begun, chosen = ask_beginning(store)
    expected = st.empty()  # filled in once the dataset is known
    prefix = f"train {chosen} "
    values = settings_form.ask_more(ESSENTIAL, add.begin_with_added(begun.model_dump(), prefix), prefix)
    add.remember_added(values["dataset"])
    config, ready = None, False
    with common.problems_shown():
        config = resolved(parse_config(values))
        if chosen in PRESETS and (said := expectation(chosen, config)):
            expected.caption(said)
        settings_form.show_team_model(config.model, describe(config.dataset).shape)
        torch_process.check_processes(config)
        ready = settings_form.is_ready(store, config.dataset)
        settings_form.show_cautions([(config.precision, config.device)])
        if is_large := model_size.caution(config, describe(config.dataset).shape):
            st.warning(is_large, icon=":material/save:")
    count = settings_form.ask_seeds("seeds to train")
    key, label = common.press_key("start"), counted(count, texts.START_ONE, texts.START_MANY)
    pressed = login.button(label, type="primary", icon=":material/play_arrow:", disabled=not ready, key=key)
    if config:
        if pressed:
            common.count_press()
            with common.problems_shown(), st.spinner(texts.STARTING):
                address.begin_anew(run=login.actions(store).start_seeds(config, count)[0].id)
                st.rerun()
        show_meaning(config, describe(config.dataset))
    add.show(store)
    show_machine()


def ask_beginning(store: RunStore) -> tuple[TrainConfig, str]:
    """What the form begins with: a preset, or the settings of the run that the address names; and which of them."""
    names, like = {name: preset.label for name, preset in PRESETS.items()}, addressed_like(store)
    if like:
        names = {like.id: texts.AS_RUN.format(name=store.at(like.id).title), **names}
    key = f"preset {like.id}" if like else "preset"
    chosen = st.selectbox(texts.PRESET, names, format_func=names.__getitem__, key=key)
    if like and chosen == like.id:
        if like.resumption:
            st.caption(texts.NOT_RESUMED.format(epochs=like.config.epochs))
        return like.config.model_copy(update={"name": ""}), chosen
    st.caption(PRESETS[chosen].help)
    return torch_process.form_defaults(chosen), chosen


def addressed_like(store: RunStore) -> RunRecord | None:
    """The record of the run whose settings the address asks for; what is wrong with that is shown."""
    if given := address.get("like"):
        with address.wrong_shown(texts.PRESET_INSTEAD):
            return store.get(given).record
    return None


def show_machine() -> None:
    """The devices of this machine; torch is asked only once it is opened."""
    expander = st.expander(texts.THIS_MACHINE, on_change="rerun")
    if not expander.open:
        return
    with expander, common.problems_shown(), st.spinner(texts.LOOKING):
        here = torch_process.this_machine()
        rows = [
            (name, text, here.threads if name == "cpu" else None, name == here.automatic, here.has_bf16(name))
            for name, text in here.devices.items()
        ]
        st.dataframe(pd.DataFrame(rows, columns=texts.MACHINE_COLUMNS), hide_index=True)


def show_meaning(config: TrainConfig, dataset: Description, run: Run | None = None) -> None:
    with st.expander(texts.SAME_IN_PYTORCH):
        st.code(scripts.training_script(config, dataset), language="python")
    common.model_expander(config.model, dataset.shape, run.model_source if run else None)


def show_run(store: RunStore, run: Run) -> None:
    config = run.record.config
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(common.plain(run.title), width="content")
        run_status.images_badge(run.record)
        st.space("stretch")
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            run_status.run_links(run)
            address.show_link(texts.SET_UP_ANOTHER_RUN, ":material/add:")
    run_status.show_damage(run)
    if run.record.source:
        with st.container(horizontal=True, vertical_alignment="center"):
            run_status.badge(run.state())
            st.markdown(common.plain(run_status.whereabouts(store, run)), width="content")
        if run.labels.notes:
            st.info("\n".join(map(common.plain, run.labels.notes.splitlines())), icon=":material/info:")
        common.model_expander(config.model, run.record.description.shape, run.model_source)
        return
    if run.record.resumption:
        resume.show_origin(store, run, run.record.resumption)
    seeds.show_seeds(store, run)
    show_live(store, run)
    show_settings(run)
    show_meaning(config, run.record.description, run)
    show_recipe(store, run)
    report.offer_report(store, [run])


def show_recipe(store: RunStore, run: Run) -> None:
    """What trains the run again elsewhere; its ancestors are read only once it is opened."""
    expander = st.expander(texts.AGAIN_ELSEWHERE, on_change="rerun")
    if expander.open:
        with expander, common.problems_shown():
            st.code(recipe.recipe(store, run), language="sh", wrap_lines=True)
            st.caption(texts.COMPARE_HERE.format(run=run.id))


def show_settings(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(texts.SETTINGS, width="content")
        address.show_link(texts.START_ANOTHER, ":material/content_copy:", like=run.id)
    settings_form.show_settings(run.record.config)


def show_live(store: RunStore, run: Run) -> None:
    """Show what changes during training; the page reruns when the browser learns that more than numbers changed."""
    run_status.advance(store)
    found = None
    with common.problems_shown():
        found = snapshot.take(store, run)
        show_state(store, run, found)
    beside = st.columns([1, 2], gap="large") if common.is_presenting() else (st.container(), st.container())
    with beside[0]:
        crash_drill.show(store, run)
        views.show_numbers(run, found)
    with beside[1], common.problems_shown():
        if found:
            show_measured(store, run, found)
    with common.problems_shown():
        expander = st.expander(texts.LOG, on_change="rerun")
        if expander.open:
            if printed := jobs.log_tail(run, lines=200):
                expander.code(printed, language=None)
            else:
                expander.caption(texts.EMPTY_LOG)


def show_measured(store: RunStore, run: Run, found: snapshot.Snapshot) -> None:
    if run.record.resumption and found.state not in UNDER_WAY_STATES:
        resume.show_bitwise(store, run)
    if found.damaged:
        text = counted(found.damaged, texts.ROWS_LOST_ONE, texts.ROWS_LOST_MANY)
        st.warning(text, icon=":material/broken_image:")
    if "batches" in found.losses.empty:
        st.caption(texts.NO_CHARTS_YET if found.state in UNDER_WAY_STATES else texts.NO_CHARTS)
        return
    st.caption(LIVE_KEY_OF_SEEDS if repeats.runs_beside(store, run) else LIVE_KEY)
    st.vega_lite_chart(found.losses.to_live_dict("losses"), alt=texts.LOSSES_CHART)
    if {*found.accuracy.frames} - {*found.accuracy.empty} > {"room"}:  # an epoch, or the mean of the other seeds
        st.vega_lite_chart(found.accuracy.to_live_dict("accuracy"), alt=texts.ACCURACY_CHART)


def show_state(store: RunStore, run: Run, found: snapshot.Snapshot) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(found.state)
        st.space("stretch")
        if common.is_presenting() and found.state in ACTIVE_STATES:
            offer_drill(store, run)
        if found.state not in UNDER_WAY_STATES:
            if not drill.is_pending(run):
                run_status.offer_to_continue(store, run, found.state)
        elif login.button(texts.STOP, icon=":material/stop:", disabled=found.state == "stopping"):
            login.actions(store).stop(run)
            st.rerun()
    if found.state in ("failed", "lost") and found.status.error:
        st.error(common.sentence(found.status.error), icon=":material/error:")
    if found.state in CONTINUABLE_STATES and run.record.config.processes > 1:
        with st.expander(texts.ON_SEVERAL_HOSTS):
            st.caption(texts.ON_EACH_HOST)
            st.code(torchrun.command(run.id), language="sh", wrap_lines=True)


def offer_drill(store: RunStore, run: Run) -> None:
    if login.button(texts.CRASH_DRILL, icon=":material/bolt:"):
        login.actions(store).crash(run)
        st.rerun()


main()
