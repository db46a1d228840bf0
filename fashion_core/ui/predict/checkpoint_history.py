"""What each checkpoint of a run, of those before and of those resumed from it, predicts for one image; forgetting."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import streamlit as st

from fashion_core.charts import evaluation_tables
from fashion_core.charts.gallery import IMAGE
from fashion_core.charts.predictions import history_chart
from fashion_core.charts.texts import HISTORY_KEY, HISTORY_KEY_OF_RESUMED
from fashion_core.errors import DamagedFileError, FashionError, counted
from fashion_core.inference import scores
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common
from fashion_core.ui.checkpoints import saved_file
from fashion_core.ui.predict import gallery, predictions, texts

MOST_RUNS: Final = 12
_Answers = dict[tuple[str, int], scores.Array]  # of each checkpoint, by run id and epoch


def show_test_image_history(chosen: saved_file.Chosen) -> None:
    """For the test image that the address names, else the one that the model is least sure about."""
    answers = predictions.evaluate(chosen)
    pixels, labels = predictions.test_images(chosen.run.record.config.dataset)
    most = len(answers) - 1
    if (index := address.number(IMAGE, texts.UNSURE_INSTEAD, most=most)) is None:
        index = int(scores.smallest_margins(answers)[0])
    st.number_input(texts.TEST_IMAGE, 0, most, step=1, width=160, **address.follow(IMAGE, index))
    left, right = st.columns([1, 3])
    with left:
        gallery.show_large(pixels[index], texts.TEST_IMAGE_NUMBER.format(index=index))
        st.caption(
            texts.TEST_IMAGE_AND_CLASS.format(index=index, true_class=common.plain(answers.classes[labels[index]]))
        )
    with right:
        show_history(chosen, pixels[index], int(labels[index]))
    _show_forgotten(chosen, pixels)


def show_history(chosen: saved_file.Chosen, image: scores.Array, label: int | None = None) -> None:
    """The chart of all checkpoints that led to this run, of its own and of those resumed from it.

    Name those that can't be used.
    """
    store, run = chosen.store, chosen.run
    last = {parent.run: parent.epoch for parent in store.ancestors(run)}
    family = family_of(store, run)
    shown = family[:MOST_RUNS]
    places = [(one, epoch) for one in shown for epoch in _listed(one) if epoch <= last.get(one.id, epoch)]
    answers = _predict_each(places, lambda run, file: predictions.probabilities(run, file, image))
    if not answers:
        st.info(texts.NO_CHECKPOINT, icon=":material/info:")
        return
    rows = evaluation_tables.history_frame(
        [_history(run, answers) for run in shown], run.record.description.classes, label
    )
    resumed = rows["branch"].notna().any()
    st.caption(HISTORY_KEY_OF_RESUMED.format(key=HISTORY_KEY) if resumed else HISTORY_KEY)
    st.vega_lite_chart(history_chart(rows).to_dict(), alt=texts.HISTORY)
    if len(family) > MOST_RUNS:
        st.caption(counted(len(family) - MOST_RUNS, texts.MORE_RUNS_ONE, texts.MORE_RUNS_MANY))


def family_of(store: RunStore, run: Run) -> list[Run]:
    """The run, those that it goes back to and those resumed from it, but for transfers from or to other classes."""
    ancestors = (store.at(parent.run) for parent in store.ancestors(run))
    return [one for one in (run, *ancestors, *store.descendants(run)) if _classes(one) == _classes(run)]


def _classes(run: Run) -> tuple[object, ...]:
    """What its images are, and what they are told apart as."""
    return run.record.description.shape, run.record.description.classes


def _listed(run: Run) -> list[int]:
    """The epochs that were saved, even if a checkpoint has been lost or damaged since."""
    return [epoch for file in run.saved_files() if (epoch := run.epoch_of(file)) is not None]


def _predict_each(places: Sequence[tuple[Run, int]], predict: Callable[[Run, Path], scores.Array]) -> _Answers:
    """What each checkpoint predicts; one that can't be used must not hide the others."""
    answers, failed, bar = {}, [], st.progress(0.0, texts.RUNNING_CHECKPOINTS)
    for done, (run, epoch) in enumerate(places, 1):
        file = run.checkpoint_path(epoch)
        try:
            if damage := run.known_damage(file):
                raise DamagedFileError(file, damage)
            answers[run.id, epoch] = predict(run, file)
        except FashionError as error:
            failed.append({"epoch": epoch, "run": common.plain(run.title), "problem": common.sentence(error)})
        bar.progress(done / len(places), texts.CHECKPOINTS_RUN.format(done=done, total=len(places)))
    bar.empty()
    if failed:
        count, others = len(failed), len(failed) - 1
        text = counted(count, texts.LEFT_OUT_ONE, texts.LEFT_OUT_MANY, others=others, **failed[0])
        st.warning(text, icon=":material/warning:")
    return answers


def _history(run: Run, answers: _Answers) -> evaluation_tables.History:
    parent = run.record.parent
    epochs = sorted(epoch for run_id, epoch in answers if run_id == run.id)
    shape = len(epochs), len(run.record.description.classes)
    probabilities = np.array([answers[run.id, epoch] for epoch in epochs], np.float32).reshape(shape)
    came_from, branch = (parent.run, parent.epoch) if parent else (None, None)
    return evaluation_tables.History(run.id, run.title, came_from, branch, np.array(epochs, np.int64), probabilities)


def _show_forgotten(chosen: saved_file.Chosen, pixels: scores.Array) -> None:
    with st.container(border=True):
        st.header(texts.FORGOTTEN)
        epochs = _listed(chosen.run)
        if len(epochs) < 2:
            st.caption(texts.TOO_FEW_CHECKPOINTS)
            return
        if not st.toggle(texts.RUN_CHECKPOINTS, key="forgotten"):
            return
        answers = _predict_each([(chosen.run, epoch) for epoch in epochs], predictions.correct)
        if not answers:
            return
        found = scores.forgotten(np.stack(list(answers.values())))
        st.markdown(evaluation_tables.forgotten_sentence(found, len(answers)))
        if len(found.lost):
            at_last = replace(chosen, file=chosen.run.checkpoint_path(max(answers)[1]))
            gallery.show_images(found.lost, pixels, predictions.evaluate(at_last), "forgotten")
