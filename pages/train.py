"""Set up a run, start it, watch it, stop it, go on with it."""

from typing import Any

import pandas as pd
import streamlit as st

from fashion_core import charts, dataset_files, frames, jobs, metrics, snippets, ui
from fashion_core.config import DATASET_LABELS, MODEL_LABELS, PRESETS, Setting, TrainConfig, parse_config, settings
from fashion_core.errors import ConfigError
from fashion_core.runs import Run, RunStore
from fashion_core.schema import ACTIVE_STATES, CONTINUABLE_STATES, UNDER_WAY_STATES, State

ESSENTIAL = ("name", "dataset", "model", "epochs", "batch_size", "optimizer", "learning_rate")
CHOICE_LABELS = {**DATASET_LABELS, **MODEL_LABELS}
ACTIVE_REFRESH_SECONDS, IDLE_REFRESH_SECONDS = 0.5, 3.0
LOG_LINES = 200
NUMBER_WIDTH = 170
WIDGETS_IN_A_ROW = 4


def main() -> None:
    """The page: the form, or the run that the address names."""
    store = ui.store()
    if "started" in st.session_state:
        st.query_params["run"] = st.session_state.pop("started")
    run_id = st.query_params.get("run")
    with ui.problems_shown():
        if run_id:
            show_run(store, store.get(run_id))
        else:
            show_form(store)


def show_form(store: RunStore) -> None:
    """All settings, what they mean in plain PyTorch, and Start."""
    st.title("Train")
    preset = st.selectbox(
        "Begin from", PRESETS, format_func=lambda name: PRESETS[name].label, key="preset", on_change=take_preset
    )
    st.caption(PRESETS[preset].help)
    values = ask_settings()
    try:
        config = parse_config(values)
    except ConfigError as error:
        st.error(ui.sentence(error), icon=":material/error:")
        config = None
    if config:
        offer_download(config)
    key = f"start {st.session_state.get('starts', 0)}"
    if st.button("Start", type="primary", icon=":material/play_arrow:", disabled=config is None, key=key) and config:
        start(store, config)
    if config:
        show_meaning(config)
    ui.machine_expander()


def take_preset() -> None:
    """Put the preset's values into the form."""
    preset = PRESETS[st.session_state["preset"]].values
    for setting in settings():
        st.session_state[setting.name] = preset.get(setting.name, setting.default)


def ask_settings() -> dict[str, Any]:
    """A widget a setting; gives what stands in them, unchecked."""
    by_name = {setting.name: setting for setting in settings()}
    values = ask_in_rows([by_name[name] for name in ESSENTIAL])
    with st.expander("More settings", icon=":material/tune:"):
        values |= ask_in_rows([setting for setting in settings() if setting.name not in ESSENTIAL])
    return values


def ask_in_rows(group: list[Setting]) -> dict[str, Any]:
    """Widgets four in a row where there is room, in the same order where there is not."""
    values = {}
    for first in range(0, len(group), WIDGETS_IN_A_ROW):
        row = group[first : first + WIDGETS_IN_A_ROW]
        for setting, column in zip(row, st.columns(WIDGETS_IN_A_ROW), strict=False):
            with column:
                values[setting.name] = ask(setting)
    return values


def ask(setting: Setting) -> Any:
    """The widget that suits a setting; bounds are checked once, by the configuration itself."""
    st.session_state.setdefault(setting.name, setting.default)
    label = f"{setting.label} ({setting.unit})" if setting.unit else setting.label
    if setting.choices:
        return st.selectbox(
            label,
            setting.choices,
            key=setting.name,
            help=setting.explanation,
            format_func=lambda v: CHOICE_LABELS.get(v, v),
        )
    if setting.kind is str:
        return st.text_input(label, key=setting.name, help=setting.explanation)
    if setting.kind is int:
        return st.number_input(label, key=setting.name, help=setting.explanation, step=1)
    step = float(setting.default) or 0.01
    return st.number_input(label, key=setting.name, help=setting.explanation, step=step, format="%g")


def offer_download(config: TrainConfig) -> None:
    """Fashion-MNIST must be fetched once; the synthetic garments never."""
    if config.dataset != "fashion-mnist" or dataset_files.are_present():
        return
    folder = ui.plain(str(dataset_files.raw_folder()))
    st.warning(
        f"Fashion-MNIST is not on this machine yet. Download it (30 MB), or copy its four .gz files into {folder}.",
        icon=":material/cloud_download:",
    )
    if st.button("Download Fashion-MNIST", icon=":material/download:"):
        bar = st.progress(0.0, text="Downloading…")
        with ui.problems_shown():
            dataset_files.download(lambda done, total: bar.progress(done / total, text=f"{done / 1e6:.1f} MB"))
            st.rerun()


def start(store: RunStore, config: TrainConfig) -> None:
    """Start the run and go to its live view; a second press of the same button finds another one in its place."""
    st.session_state["starts"] = st.session_state.get("starts", 0) + 1
    with ui.problems_shown(), st.spinner("Starting…"):
        st.session_state["started"] = jobs.start(store, config).id
        st.rerun()


def show_meaning(config: TrainConfig) -> None:
    """The same in plain PyTorch, and the model."""
    with st.expander("The same in plain PyTorch", icon=":material/code:"):
        st.code(snippets.training_script(config), language="python")
    ui.model_expander(config.model)


def show_run(store: RunStore, run: Run) -> None:
    """One run, live."""
    config = run.record.config
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(ui.plain(ui.run_title(run)), width="content")
        ui.dataset_badge(config)
        st.space("stretch")
        st.page_link("pages/train.py", label="Set up another run", icon=":material/add:", query_params={})
    active = run.state() in UNDER_WAY_STATES
    st.fragment(show_live, run_every=ACTIVE_REFRESH_SECONDS if active else IDLE_REFRESH_SECONDS)(store, run, active)
    with st.expander("Settings", icon=":material/tune:"):
        st.json(config.model_dump(mode="json"))
    show_meaning(config)


def show_live(store: RunStore, run: Run, was_active: bool) -> None:
    """What changes while the run trains; another pace of refresh needs another run of the page."""
    ui.advance(store)
    with ui.problems_shown():
        state = run.state()
        if (state in UNDER_WAY_STATES) != was_active:
            st.rerun()
        rows = metrics.read_rows(run.metrics_path)
        batches = frames.batches_frame(rows, run.record.config)
        epochs = frames.epochs_frame(rows, run.record.config, run.epochs_saved())
        show_state(store, run)
        show_numbers(run, batches, epochs)
        show_charts(run, batches, epochs)
        show_log(run)


def show_state(store: RunStore, run: Run) -> None:
    """The state in words, how far the run is, and the one thing that can be done about it."""
    status = run.status
    state = run.state(status)
    with st.container(horizontal=True, vertical_alignment="center"):
        ui.state_badge(state)
        st.markdown(ui.whereabouts(store, run), width="content")
        st.space("stretch")
        offer_action(store, run, state)
    st.progress(frames.progress(run.record.config, status).share)
    if state == "failed" and status.error:
        st.error(ui.sentence(status.error), icon=":material/error:")


def offer_action(store: RunStore, run: Run, state: State) -> None:
    """Stop what goes on, go on with what stopped."""
    if state in UNDER_WAY_STATES:
        if st.button("Stop", icon=":material/stop:", disabled=state == "stopping"):
            jobs.stop(run)
            st.rerun()
    elif state in CONTINUABLE_STATES and st.button("Continue", icon=":material/play_arrow:"):
        jobs.go_on(store, run)
        st.rerun()


def show_numbers(run: Run, batches: pd.DataFrame, epochs: pd.DataFrame) -> None:
    """Loss and accuracy now, each with its change since the epoch before; speed and time."""
    status = run.status
    with st.container(horizontal=True):
        st.metric("Training loss, smoothed", ui.loss_text(last(batches["smoothed"])), width=NUMBER_WIDTH)
        loss_change, accuracy_change = change(epochs["loss"]), change(epochs["accuracy"])
        st.metric(
            "Test loss",
            ui.loss_text(last(epochs["loss"])),
            delta=None if loss_change is None else f"{loss_change:+.4f}",
            delta_color="inverse",
            width=NUMBER_WIDTH,
        )
        st.metric(
            "Test accuracy",
            "–" if epochs.empty else f"{last(epochs['accuracy']):.2%}",
            delta=None if accuracy_change is None else f"{accuracy_change * 100:+.2f} points",
            width=NUMBER_WIDTH,
        )
        rate = status.images_per_second
        st.metric("Images per second", "–" if rate is None else f"{rate:,.0f}", width=NUMBER_WIDTH)
        left = frames.progress(run.record.config, status).seconds_left
        if run.state(status) in ACTIVE_STATES:
            st.metric("Time left", ui.duration(left), width=NUMBER_WIDTH)
        else:
            st.metric("Time trained", ui.duration(epochs["seconds"].sum()), width=NUMBER_WIDTH)


def last(values: "pd.Series[float]") -> float | None:
    """The newest value, if there is one."""
    return None if values.empty else float(values.iloc[-1])


def change(values: "pd.Series[float]") -> float | None:
    """What the newest value gained on the one before."""
    return float(values.iloc[-1] - values.iloc[-2]) if len(values) > 1 else None


def show_charts(run: Run, batches: pd.DataFrame, epochs: pd.DataFrame) -> None:
    """The losses as they come, and the accuracy of each epoch."""
    config = run.record.config
    st.caption(charts.LIVE_KEY)
    live = charts.live_chart(batches, epochs, frames.horizon(config, run.status))
    st.altair_chart(live, alt="Losses of this run by optimizer step")
    if len(epochs):
        st.altair_chart(charts.accuracy_chart(epochs), alt="Test accuracy of this run by epoch")


def show_log(run: Run) -> None:
    """What the worker printed."""
    with st.expander("Log", icon=":material/terminal:"):
        st.code(run.log_tail(LOG_LINES) or "The worker has printed nothing.", language=None)


ui.run_page(main)
