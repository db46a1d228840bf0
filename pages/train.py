"""Set up a run, start it, watch it, stop it, go on with it."""

from typing import Any, Literal

import pandas as pd
import streamlit as st

from fashion_core import access_views, charts, forms, frames, live, live_views, precision, resuming, snippets, ui
from fashion_core.comparison import Compared, compare_run, gate_of, relative_change
from fashion_core.config import PRESETS, TrainConfig, parse_config, settings
from fashion_core.errors import ConfigError
from fashion_core.proof import prove
from fashion_core.run_folders import Run
from fashion_core.runs import RunStore
from fashion_core.schema import CONTINUABLE_STATES, UNDER_WAY_STATES, Resumption, State, Status

ESSENTIAL = ("name", "dataset", "model", "epochs", "batch_size", "optimizer", "learning_rate")
STARTING_REFRESH_SECONDS, ACTIVE_REFRESH_SECONDS, IDLE_REFRESH_SECONDS = 0.25, 1.0, 3.0
LOG_LINES = 200
NUMBER_WIDTH = 170
NUMBER_HEIGHT = 104  # pixels, with a change below it: nothing moves when the second epoch brings one


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
    preset = st.selectbox("Begin from", PRESETS, format_func=lambda name: PRESETS[name].label, key="preset")
    st.caption(PRESETS[preset].help)
    values = ask_settings(preset)
    try:
        config = parse_config(values)
    except ConfigError as error:
        st.error(ui.sentence(error), icon=":material/error:")
        config = None
    if config:
        forms.offer_download(store, config)
        forms.show_cautions([(config.precision, config.device)])
    key = ui.press_key("start")
    bad = config is None
    pressed = access_views.button("Start", type="primary", icon=":material/play_arrow:", disabled=bad, key=key)
    if pressed and config:
        start(store, config)
    if config:
        show_meaning(config)
    ui.machine_expander()


def ask_settings(preset: str) -> dict[str, Any]:
    """A widget a setting, which begins with the preset's value; gives what stands in them, unchecked."""
    values, prefix = precision.to_begin_with(preset).model_dump(), f"train {preset} "
    answers = forms.ask_settings(ESSENTIAL, values, prefix)
    with st.expander("More settings", icon=":material/tune:"):
        others = [setting.name for setting in settings() if setting.name not in ESSENTIAL]
        return answers | forms.ask_settings(others, values, prefix)


def start(store: RunStore, config: TrainConfig) -> None:
    """Start the run and go to its live view; a second press of the same button finds another one in its place."""
    ui.count_press()
    with ui.problems_shown(), st.spinner("Starting…"):
        st.session_state["started"] = ui.actions(store).start(config).id
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
        st.header(ui.plain(run.title), width="content")
        ui.dataset_badge(config)
        st.space("stretch")
        with st.container(horizontal=True, width="content"):
            ui.checkpoints_link(run)
            ui.resume_link(run)
            ui.predict_link(run)
            st.page_link("train.py", label="Set up another run", icon=":material/add:", query_params={})
    ui.show_damage(run)
    if run.record.source:
        show_imported(store, run)
        return
    if run.record.resumption:
        show_origin(store, run, run.record.resumption)
    status = run.status
    seconds = pace(status, run.state(status))
    st.fragment(show_live, run_every=seconds)(store, run, seconds)
    with st.expander("Settings", icon=":material/tune:"):
        st.json(config.model_dump(mode="json"))
    show_meaning(config)


def show_imported(store: RunStore, run: Run) -> None:
    """A run that was brought in: nothing was trained here, so there is nothing to watch."""
    with st.container(horizontal=True, vertical_alignment="center"):
        ui.state_badge(run.state())
        st.markdown(ui.whereabouts(store, run), width="content")
    notes = run.labels.notes
    if notes:
        st.info(ui.plain(notes), icon=":material/info:")
    ui.model_expander(run.record.config.model)


def show_origin(store: RunStore, run: Run, resumption: Resumption) -> None:
    """Which checkpoint the run goes on from, how its settings differ, and what was said before the click."""
    parent = run.record.parent
    with st.container(horizontal=True, vertical_alignment="center"):
        ui.verdict_badge(resumption.verdict)
        st.markdown(f"resumed from **{ui.plain(resumption.parent_name)}**", width="content")
        if parent and store.has(parent.run):
            query = {"run": parent.run, "epoch": str(parent.epoch)}
            st.page_link("checkpoints.py", label=f"epoch {parent.epoch}", query_params=query)
        elif parent:
            st.caption(f"epoch {parent.epoch}; that run has been deleted", width="content")
    changes = [resuming.describe(name, change) for name, change in resumption.changes.items()]
    st.caption(ui.plain(", ".join(changes) or "the same settings"))
    others = [reason for reason in resumption.reasons if reason not in changes]
    if others:
        st.caption(ui.plain("; ".join(others)))


def show_three_losses(store: RunStore, run: Run) -> None:
    """``loss_last``, the loss right after loading, ``loss_now``; and the proof where the parent went on too."""
    row = compare_run(store, run)
    if row is None:
        return
    with st.container(horizontal=True):
        st.metric("loss_last, stored", ui.loss_text(row.check.loss_last), width=NUMBER_WIDTH)
        same = "equal" if row.check.loss_check == row.check.loss_last else "other images"
        note = "loss_last again, measured: the load is right."
        if not row.check.comparable:
            note = "loss_last was measured on other images, or elsewhere: loss_now is set beside this one."
        check = ui.loss_text(row.check.loss_check)
        st.metric("right after loading", check, same, "off", delta_arrow="off", help=note, width=NUMBER_WIDTH)
        for label, now in (("loss_now, first epoch", row.first), ("loss_now, latest", row.latest)):
            change = f"{relative_change(row, now):+.1%}, {now.answer}" if now else None
            color: Literal["inverse", "off"] = "off" if now and now.answer == "within noise" else "inverse"
            st.metric(label, ui.loss_text(now.loss if now else None), change, color, width=NUMBER_WIDTH)
    show_proof(store, run, row)


def show_proof(store: RunStore, run: Run, row: Compared) -> None:
    """Whether the epochs that parent and child both trained have the same bits."""
    if run.state() in UNDER_WAY_STATES or not row.parent_exists:
        return
    found = prove(run, store.get(row.parent))
    if found.kind == "identical":
        st.success(
            f"Identical to the uninterrupted run up to epoch {found.epoch}, bit for bit: every loss"
            + (f", and all {found.tensors} tensors of both checkpoints." if found.tensors else "."),
            icon=":material/verified:",
        )
    elif found.kind == "parts":
        why = "; ".join(found.reasons) or "nothing that was recorded explains it"
        text = f"Parts from the uninterrupted run at epoch {found.epoch}: {ui.plain(why)}."
        st.info(text, icon=":material/call_split:")


def loss_last_frame(run: Run) -> pd.DataFrame | None:
    """The dashed line of a resumed run: where its checkpoint stood."""
    check = run.load_check
    if check is None:
        return None
    what = "loss_last of the checkpoint" if check.comparable else "loss right after loading"
    label = f"{what}: {ui.loss_text(gate_of(check))}"
    return pd.DataFrame({"loss": [gate_of(check)], "label": [label]})


def pace(status: Status, state: State) -> float:
    """Seconds between two refreshes: few before the first loss, for which whoever has just pressed Start waits."""
    if state == "running" and status.phase in ("starting", "loading"):
        return STARTING_REFRESH_SECONDS
    return ACTIVE_REFRESH_SECONDS if state in UNDER_WAY_STATES else IDLE_REFRESH_SECONDS


def show_live(store: RunStore, run: Run, pace_seconds: float) -> None:
    """What changes while the run trains; another pace of refresh needs another run of the page."""
    ui.advance(store)
    with ui.problems_shown():
        if not store.has(run.id):
            st.rerun()  # the page says that it has been deleted
        status = run.status
        state = run.state(status)
        if pace(status, state) != pace_seconds:
            st.rerun()
        look = live.look(run, live.LOOK_SECONDS if state in UNDER_WAY_STATES else 0.0)
        show_state(store, run, status, state)
        if run.record.resumption:
            show_three_losses(store, run)
        show_numbers(run, status, state, look.numbers)
        show_charts(run, look)
        show_log(run)


def show_state(store: RunStore, run: Run, status: Status, state: State) -> None:
    """The state in words, how far the run is, and the one thing that can be done about it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        ui.state_badge(state)
        st.markdown(ui.whereabouts(store, run, state), width="content")
        st.space("stretch")
        offer_action(store, run, state)
    st.progress(frames.progress(run.record.config, status, run.record.first_epoch).share)
    if state == "failed" and status.error:
        st.error(ui.sentence(status.error), icon=":material/error:")


def offer_action(store: RunStore, run: Run, state: State) -> None:
    """Stop what goes on, go on with what stopped."""
    if state in UNDER_WAY_STATES:
        if access_views.button("Stop", icon=":material/stop:", disabled=state == "stopping"):
            ui.actions(store).stop(run)
            st.rerun()
    elif state in CONTINUABLE_STATES and access_views.button("Continue", icon=":material/play_arrow:"):
        ui.actions(store).go_on(run)
        st.rerun()


def show_numbers(run: Run, status: Status, state: State, numbers: live.Numbers) -> None:
    """Loss and accuracy now, each with its change since the epoch before; speed and time."""
    loss_change, accuracy_change = numbers.loss_change, numbers.accuracy_change
    with st.container(horizontal=True):
        st.metric("Training loss, smoothed", ui.loss_text(numbers.smoothed), width=NUMBER_WIDTH)
        st.metric(
            "Test loss",
            ui.loss_text(numbers.loss),
            delta=None if loss_change is None else f"{loss_change:+.4f}",
            delta_color="inverse",
            width=NUMBER_WIDTH,
            height=NUMBER_HEIGHT,
        )
        st.metric(
            "Test accuracy",
            "–" if numbers.accuracy is None else f"{numbers.accuracy:.2%}",
            delta=None if accuracy_change is None else f"{accuracy_change * 100:+.2f} points",
            width=NUMBER_WIDTH,
            height=NUMBER_HEIGHT,
        )
        rate = status.images_per_second
        st.metric("Images per second", "–" if rate is None else f"{rate:,.0f}", width=NUMBER_WIDTH)
        if state == "running":
            left = frames.progress(run.record.config, status, run.record.first_epoch).seconds_left
            st.metric("Time left", ui.duration(left), width=NUMBER_WIDTH)
        else:
            st.metric("Time trained", ui.duration(numbers.seconds), width=NUMBER_WIDTH)


def show_charts(run: Run, look: live.Look) -> None:
    """The losses as they come, and the accuracy of each epoch."""
    config = run.record.config
    if look.damaged:
        text = f"{look.damaged:,} rows of metrics.jsonl can't be read, and are missing from the charts."
        st.warning(text, icon=":material/broken_image:")
    st.caption(charts.LIVE_KEY)
    span = frames.horizon(config, run.status, run.record.first_epoch)
    live_views.show_live_chart(run.id, look, len(span) * config.batches_per_epoch, loss_last_frame(run))
    live_views.show_accuracy_chart(run.id, look, span)


def show_log(run: Run) -> None:
    """What the worker printed."""
    with st.expander("Log", icon=":material/terminal:"):
        st.code(run.log_tail(LOG_LINES) or "The worker has printed nothing.", language=None)


main()
