"""The lesson that this app grew from, top to bottom, run for real."""

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fashion_core.charts import files
from fashion_core.data import fashion_mnist
from fashion_core.errors import FashionError
from fashion_core.resume import answers, comparison, lesson
from fashion_core.resume.texts import LESSON_SIZES
from fashion_core.runs import torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status, settings_form
from fashion_core.ui.comparison import comparison_of
from pages import texts


def main() -> None:
    store = RunStore()
    st.title(texts.LESSON_TITLE)
    st.caption(texts.LESSON_CAPTION)
    if (run_id := address.get("run")) is None:
        show_start(store)
        return
    with common.problems_shown():
        run = store.get(run_id)
        lesson.check(run)
        show_lesson(store, run)
        return
    address.show_link(texts.TAKE_LESSON, ":material/school:")


def show_start(store: RunStore) -> None:
    st.write(texts.LESSON_STEPS)
    here = "fashion-mnist" if fashion_mnist.are_present() else "synthetic"
    given = settings_form.ask_settings(["dataset", "pixels"], {"dataset": here, "pixels": "raw"}, "lesson ")
    st.caption(texts.LESSON_PIXELS)
    ready, key = False, common.press_key("lesson")
    with common.problems_shown():
        ready = settings_form.is_ready(store, lesson.lesson_config(given).dataset)
    if login.button(texts.RUN_LESSON, type="primary", icon=":material/play_arrow:", disabled=not ready, key=key):
        common.count_press()
        with common.problems_shown(), st.spinner(texts.STARTING):
            address.go(run=login.actions(store).begin_lesson(given).id)
            st.rerun()


def show_lesson(store: RunStore, run: Run) -> None:
    runs = [run, *filter(None, [lesson.resumed_run(store, run)])]
    active = any(one.state() in UNDER_WAY_STATES for one in runs) or len(runs) == 1
    st.fragment(show_steps, run_every=1.0 if active else None)(store, run, active)
    if not active:
        address.show_link(texts.RUN_LESSON_AGAIN, ":material/replay:")


def show_steps(store: RunStore, run: Run, was_active: bool) -> None:
    login.send_strangers_away()
    run_status.advance(store)
    with common.problems_shown():
        child, place = last_step(store, run), st.empty()
        show_progress(place, run, child)
        show_training(store, 1, lesson.TRAIN, run)
        if run.state() in UNDER_WAY_STATES or child is None:
            offer_to_continue(store, run)
            return
        if was_active and child.state() not in UNDER_WAY_STATES:
            st.rerun()
        show_files(store, run)
        show_progress(place, run, child)
        show_training(store, 4, lesson.RESUME, child)
        run_status.offer_to_continue(store, child, child.state())
        if child.state() == "finished":
            show_losses(store, run, child)


def show_progress(place: DeltaGenerator, run: Run, child: Run | None) -> None:
    """How far the lesson is, until its last run has finished."""
    if child and child.state() == "finished":
        return
    share, seconds = lesson.progress(run, child)
    text = texts.STEP_WITH_TIME if seconds and seconds >= 1 else texts.STEP
    if child and outputs_key(run) not in st.session_state:
        text = texts.STEPS_OF_FILES
    place.progress(share, text=text.format(step=4 if child else 1, duration=common.duration(seconds)))


def offer_to_continue(store: RunStore, run: Run) -> None:
    run_status.offer_to_continue(store, run, run.state())
    if run.state() == "finished" and login.actions(store).actor.role != "operator":
        st.caption(texts.WAITS_FOR_OPERATOR)


def show_files(store: RunStore, run: Run) -> None:
    """Steps 2 and 3, whose lines one process runs, and what the checkpoint holds."""
    with st.spinner(texts.RUNNING_CODE):
        outputs = kept(outputs_key(run), lambda: torch_process.lesson_outputs(store, run))
    show_snippet(2, lesson.WEIGHTS, outputs["printed"]["weights"])
    show_snippet(3, lesson.MODEL, outputs["printed"]["model"])
    st.code(lesson.CHECK, language="python")
    st.code(outputs["printed"]["checkpoint"], language=None)
    show_sizes(outputs["bytes"])


def show_sizes(sizes: dict[str, int]) -> None:
    st.markdown(texts.FILE_SIZES)
    st.code(lesson.WITH_ADAM, language="python")
    frame = files.sizes_frame({label: sizes[name] for name, label in lesson.FILES.items()}, sizes["numbers"])
    spec = files.bar_chart(frame, ("weights", "beside"), "size").to_dict()
    st.vega_lite_chart(spec, alt=texts.SIZES_CHART)
    st.info(LESSON_SIZES, icon=":material/visibility:")


def outputs_key(run: Run) -> str:
    return f"outputs {run.id}"


def losses_key(run: Run) -> str:
    return f"losses {run.id}"


def last_step(store: RunStore, run: Run) -> Run | None:
    """The resumed run, started once it is due; a failure is shown and tried again only on request."""
    key = f"kept from {run.id}"
    problem, place = st.session_state.get(key), st.container()
    if problem is None or login.button(texts.TRY_AGAIN, icon=":material/replay:"):
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
    st.header(texts.STEP_HEADER.format(number=number, title=step.title))
    st.code(step.code, language="python")
    st.code(printed, language=None)
    st.info(step.notice, icon=":material/visibility:")


def show_training(store: RunStore, number: int, step: lesson.Step, run: Run) -> None:
    st.header(texts.STEP_HEADER.format(number=number, title=step.title))
    st.code(step.code, language="python")
    status = run.status
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(run.state(status))
        st.markdown(common.plain(run_status.whereabouts(store, run)), width="content")
        address.link("train.py", texts.WATCH, ":material/visibility:", {"run": run.id})
    st.caption(texts.MEASURED_HERE)
    st.code(lesson.printed_by(run) or "…", language=None)
    st.info(step.notice, icon=":material/visibility:")


def show_losses(store: RunStore, run: Run, child: Run) -> None:
    st.header(texts.DID_IT_HELP)
    if (row := comparison.compare_run(store, child)) is None:
        return
    with st.spinner(texts.MEASURING):
        losses = kept(losses_key(run), lambda: torch_process.lesson_losses(store, run))
    st.code("\n".join(f"{name} {by_half['test']}" for name, by_half in losses.items()), language=None)
    st.markdown(common.plain(answers.sentence([row])))
    comparison_of(store, [row])
    columns = {"test": texts.TEST_IMAGES_COLUMN, "training": texts.TRAINING_IMAGES_COLUMN}
    table = [{"": name} | {title: by[half] for half, title in columns.items()} for name, by in losses.items()]
    st.dataframe(table, hide_index=True)
    st.caption(texts.TRAINING_IMAGES_NOTE)


main()
