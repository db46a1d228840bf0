"""Set up a run, start it, watch it, stop it, continue it."""

import pandas as pd
import streamlit as st

from fashion_core.charts import live
from fashion_core.config import PRESETS, TrainConfig, expectation, parse_config
from fashion_core.runs import torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, resume, run_status, settings_form
from fashion_core.ui.live import seeds, snapshot, views
from fashion_core.ui.snippets import scripts

ESSENTIAL = ("name", "dataset", "model", "epochs", "batch_size", "optimizer", "learning_rate")


def main() -> None:
    store = RunStore()
    if "started" in st.session_state:
        address.go(run=st.session_state.pop("started"))
    if (run_id := address.get("run")) is None:
        show_form(store)
        return
    run = None
    with common.problems_shown():
        run = store.get(run_id)
    if run:
        show_run(store, run)
    else:
        address.show_link("Set up a run", ":material/add:")


def show_form(store: RunStore) -> None:
    st.title("Train")
    preset = st.selectbox("Preset", PRESETS, format_func=lambda name: PRESETS[name].label, key="preset")
    st.caption(PRESETS[preset].help)
    expected = st.empty()  # filled in once the dataset is known
    defaults = torch_process.form_defaults(preset).model_dump()
    values = settings_form.ask_more(ESSENTIAL, defaults, f"train {preset} ")
    config, ready = None, False
    with common.problems_shown():
        config = parse_config(values)
        if said := expectation(preset, config):
            expected.caption(said)
        ready = settings_form.is_ready(store, config.dataset)
        settings_form.show_cautions([(config.precision, config.device)])
    count = settings_form.ask_seeds("seeds to train")
    key, label = common.press_key("start"), "Start" if count == 1 else f"Start {count} runs"
    pressed = login.button(label, type="primary", icon=":material/play_arrow:", disabled=not ready, key=key)
    if config:
        if pressed:
            common.count_press()
            with common.problems_shown(), st.spinner("Starting…"):
                st.session_state["started"] = login.actions(store).start_seeds(config, count)[0].id
                st.rerun()
        show_meaning(config)
    show_machine()


def show_machine() -> None:
    """The devices of this machine; torch is asked only once it is opened."""
    expander = st.expander("This machine: what it can train on", on_change="rerun")
    if not expander.open:
        return
    with expander, common.problems_shown(), st.spinner("Looking…"):
        here = torch_process.this_machine()
        rows = [
            (name, text, here.threads if name == "cpu" else None, name == here.automatic, here.has_bf16(name))
            for name, text in here.devices.items()
        ]
        columns = ["device", "processor", "threads", "taken by auto", "has bf16 instructions"]
        st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True)


def show_meaning(config: TrainConfig) -> None:
    with st.expander("The same in plain PyTorch"):
        st.code(scripts.training_script(config), language="python")
    common.model_expander(config.model)


def show_run(store: RunStore, run: Run) -> None:
    config = run.record.config
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(common.plain(run.title), width="content")
        run_status.badge(config.dataset)
        st.space("stretch")
        with st.container(horizontal=True, width="content"):
            run_status.run_links(run)
            address.show_link("Set up another run", ":material/add:")
    run_status.show_damage(run)
    if run.record.source:
        with st.container(horizontal=True, vertical_alignment="center"):
            run_status.badge(run.state())
            st.markdown(run_status.whereabouts(store, run), width="content")
        if run.labels.notes:
            st.info("\n".join(map(common.plain, run.labels.notes.splitlines())), icon=":material/info:")
        common.model_expander(config.model)
        return
    if run.record.resumption:
        resume.show_origin(store, run, run.record.resumption)
    seeds.show_seeds(store, run)
    show_live(store, run)
    with st.expander("Settings"):
        st.json(config.model_dump(mode="json"))
    show_meaning(config)


def show_live(store: RunStore, run: Run) -> None:
    """Show what changes during training; the page reruns when the browser learns that more than numbers changed."""
    run_status.advance(store)
    found = None
    with common.problems_shown():
        found = snapshot.take(store, run)
        show_state(store, run, found)
    views.show_numbers(run, found)
    with common.problems_shown():
        if found:
            show_measured(store, run, found)
        expander = st.expander("Log", on_change="rerun")
        if expander.open:
            expander.code(run.log_tail(lines=200) or "The worker has not printed anything.", language=None)


def show_measured(store: RunStore, run: Run, found: snapshot.Snapshot) -> None:
    if run.record.resumption and found.state not in UNDER_WAY_STATES:
        resume.show_bitwise(store, run)
    if found.damaged:
        text = f"The charts lack {common.count(found.damaged, 'row')} of metrics.jsonl, which can't be read."
        st.warning(text, icon=":material/broken_image:")
    st.caption(f"{live.LIVE_KEY} · {live.SEEDS_KEY}" if run.record.repeat else live.LIVE_KEY)
    st.vega_lite_chart(found.losses.to_live_dict("losses"), alt="Losses of this run by optimizer step")
    st.vega_lite_chart(found.accuracy.to_live_dict("accuracy"), alt="Test accuracy of this run by epoch")


def show_state(store: RunStore, run: Run, found: snapshot.Snapshot) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(found.state)
        st.space("stretch")
        if found.state not in UNDER_WAY_STATES:
            run_status.offer_to_continue(store, run, found.state)
        elif login.button("Stop", icon=":material/stop:", disabled=found.state == "stopping"):
            login.actions(store).stop(run)
            st.rerun()
    if found.state in ("failed", "lost") and found.status.error:
        st.error(common.sentence(found.status.error), icon=":material/error:")


main()
