"""The lesson that this app grew from, top to bottom, run for real."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from fashion_core.data import fashion_mnist
from fashion_core.errors import FashionError
from fashion_core.resume import comparison, lesson
from fashion_core.runs import tables, torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status, settings_form
from fashion_core.ui.comparison import comparison_of

FILES = {"model_weights.pth": "weights only", "model.pth": "the whole model", "model_save/0": "checkpoint of epoch 0"}


def main() -> None:
    store = RunStore()
    st.title("The lesson")
    st.caption("Save, load and use a model in three ways, then resume from a checkpoint: the tutorial, run for real.")
    if (run_id := address.get("run")) is None:
        show_start(store)
        return
    with common.problems_shown():
        run = store.get(run_id)
        lesson.check(run)
        show_lesson(store, run)
        return
    address.show_link("Take the lesson", ":material/school:")


def show_start(store: RunStore) -> None:
    st.write(
        "Two epochs of the tutorial's network, its weights saved and loaded, the whole model saved and loaded, and one "
        "more epoch resumed from checkpoint 0: a minute or two."
    )
    here = "fashion-mnist" if fashion_mnist.are_present() else "synthetic"
    given = settings_form.ask_settings(["dataset", "pixels"], {"dataset": here, "pixels": "raw"}, "lesson ")
    st.caption("The tutorial's author trained on pixels from 0 to 255: choose raw to do the same.")
    ready, key = False, common.press_key("lesson")
    with common.problems_shown():
        ready = settings_form.is_ready(store, lesson.lesson_config(given).dataset)
    if login.button("Run the lesson", type="primary", icon=":material/play_arrow:", disabled=not ready, key=key):
        common.count_press()
        with common.problems_shown(), st.spinner("Starting…"):
            address.go(run=login.actions(store).begin_lesson(given).id)
            st.rerun()


def show_lesson(store: RunStore, run: Run) -> None:
    runs = [run, *filter(None, [lesson.resumed_run(store, run)])]
    active = any(one.state() in UNDER_WAY_STATES for one in runs) or len(runs) == 1
    st.fragment(show_steps, run_every=1.0 if active else None)(store, run, active)
    if not active:
        address.show_link("Run it again", ":material/replay:")


def show_steps(store: RunStore, run: Run, was_active: bool) -> None:
    login.send_strangers_away()
    run_status.advance(store)
    with common.problems_shown():
        child = last_step(store, run)
        show_training(store, 1, lesson.TRAIN, run)
        if run.state() in UNDER_WAY_STATES or child is None:
            run_status.offer_to_continue(store, run, run.state())
            if run.state() == "finished" and login.actions(store).actor.role != "operator":
                st.caption("The last step starts once an operator opens this page.")
            return
        done = child.state() not in UNDER_WAY_STATES
        if done and was_active:
            st.rerun()
        with st.spinner("Running the tutorial's code…"):
            outputs = kept(f"outputs {run.id}", lambda: torch_process.lesson_outputs(store, run))
        show_snippet(2, lesson.WEIGHTS, outputs["printed"]["weights"])
        show_snippet(3, lesson.MODEL, outputs["printed"]["model"])
        with st.container(horizontal=True):
            for name, what in FILES.items():
                st.metric(what, f"{outputs['bytes'][name] / 1e6:.2f} MB", help=name, width=200)
        st.code(lesson.CHECK, language="python")
        st.code(outputs["printed"]["checkpoint"], language=None)
        show_training(store, 4, lesson.RESUME, child)
        run_status.offer_to_continue(store, child, child.state())
        if child.state() == "finished":
            show_losses(store, run, child)


def last_step(store: RunStore, run: Run) -> Run | None:
    """The resumed run, started once it is due; a failure is shown and tried again only on request."""
    key = f"kept from {run.id}"
    problem, place = st.session_state.get(key), st.container()
    if problem is None or login.button("Try again", icon=":material/replay:"):
        try:
            child = login.actions(store).continue_lesson(run)
            st.session_state[key] = None
            return child
        except FashionError as error:
            problem = st.session_state[key] = common.sentence(error)
    place.error(problem, icon=":material/error:")
    return lesson.resumed_run(store, run)


def kept(key: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask once a session: running the tutorial's code takes a few seconds."""
    if key not in st.session_state:
        st.session_state[key] = ask()
    answer: dict[str, Any] = st.session_state[key]
    return answer


def show_snippet(number: int, step: lesson.Step, printed: str) -> None:
    st.header(f"{number}. {step.title}")
    st.code(step.code, language="python")
    st.code(printed, language=None)
    st.info(step.notice, icon=":material/visibility:")


def show_training(store: RunStore, number: int, step: lesson.Step, run: Run) -> None:
    st.header(f"{number}. {step.title}")
    st.code(step.code, language="python")
    status = run.status
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(run.state(status))
        st.markdown(run_status.whereabouts(store, run), width="content")
        st.page_link("train.py", label="Watch", icon=":material/visibility:", query_params={"run": run.id})
    st.progress(tables.progress(run.record.config, status, run.record.first_epoch).share)
    st.caption("What this app measured when it ran these lines:")
    st.code(lesson.printed_by(run) or "…", language=None)
    st.info(step.notice, icon=":material/visibility:")


def show_losses(store: RunStore, run: Run, child: Run) -> None:
    st.header("5. Did it help?")
    if (row := comparison.compare_run(store, child)) is None:
        return
    with st.spinner("Measuring on the training images too…"):
        losses = kept(f"losses {run.id}", lambda: torch_process.lesson_losses(store, run))
    st.code("\n".join(f"{name} {by_half['test']}" for name, by_half in losses.items()), language=None)
    st.markdown(common.plain(comparison.sentence([row])))
    comparison_of(store, [row])
    table = [{"": name, "test images": by["test"], "training images": by["training"]} for name, by in losses.items()]
    st.dataframe(table, hide_index=True)
    st.caption(
        "The tutorial's author measured both losses on the training images. The model has learned from those, so only "
        "the loss on the test images shows how it does on images that it has never seen."
    )


main()
