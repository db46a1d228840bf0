"""What every checkpoint of a run, and of the runs resumed from it, says about one image; what was learned and lost."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import streamlit as st

from fashion_core import outcome_frames, outcome_words, scores
from fashion_core.classes import CLASS_NAMES
from fashion_core.file_views import Chosen
from fashion_core.gallery_views import addressed_image, show_images, show_large
from fashion_core.opinion_charts import OPINION_KEY, opinion_chart
from fashion_core.outcome_frames import Opinion
from fashion_core.predict_views import answers, correct, opinion, test_images
from fashion_core.runs import Run, RunStore
from fashion_core.scores import Array

MOST_RUNS: Final = 12


def show_opinions_of_test_image(chosen: Chosen) -> None:
    """The image that the address names, else the one that the model is least sure about."""
    said = answers(chosen)
    pixels, labels = test_images(chosen.run.record.config.dataset)
    index = _ask_image(said)
    left, right = st.columns([1, 3], vertical_alignment="center")
    with left:
        show_large(pixels[index], f"Test image {index}")
        st.caption(f"Test image {index:,} · {CLASS_NAMES[labels[index]]}")
    with right:
        show_opinions(chosen, pixels[index], int(labels[index]))
    _show_forgotten(chosen, pixels)


def _ask_image(said: scores.Answers) -> int:
    given = addressed_image(len(said))
    st.session_state["opinion image"] = int(scores.least_sure(said)[0]) if given is None else given
    return int(
        st.number_input(
            "Test image",
            min_value=0,
            max_value=len(said) - 1,
            step=1,
            key="opinion image",
            on_change=lambda: st.query_params.update(image=str(st.session_state["opinion image"])),
            width=160,
        )
    )


def show_opinions(chosen: Chosen, image: Array, label: int | None = None) -> None:
    """The chart of all checkpoints; those that can't be read are passed over and named."""
    family = family_of(chosen.store, chosen.run)
    found = list(_opinions(family[:MOST_RUNS], image))
    if not found:
        st.info("No checkpoint of this run is saved whole: there is no opinion to ask for.", icon=":material/info:")
        return
    rows = outcome_frames.opinion_frame(found, label)
    st.caption(OPINION_KEY)
    st.altair_chart(opinion_chart(rows), alt="The probability of each class by epoch, a panel a run")
    if len(family) > MOST_RUNS:
        st.caption(f"{len(family) - MOST_RUNS:,} more runs were resumed from it: choose one of them above.")


def family_of(store: RunStore, run: Run) -> list[Run]:
    """The run, then those resumed from it, and from those, each after its parent."""
    return [run, *(member for child in reversed(store.children(run)) for member in family_of(store, child))]


def _opinions(family: list[Run], image: Array) -> Iterator[Opinion]:
    epochs = {run.id: run.whole_epochs() for run in family}
    total, done = sum(map(len, epochs.values())), 0
    bar = st.progress(0.0, "Asking every checkpoint…")
    for run in family:
        rows = []
        for epoch in epochs[run.id]:
            rows.append(opinion(run, run.checkpoint_path(epoch), image))
            done += 1
            bar.progress(done / total, f"Asking every checkpoint… {done} of {total}")
        if rows:
            parent = run.record.parent
            yield Opinion(
                run=run.id,
                name=run.title,
                parent=parent.run if parent else None,
                branch=parent.epoch if parent else None,
                epochs=np.array(epochs[run.id]),
                probabilities=np.stack(rows),
            )
    bar.empty()


def _show_forgotten(chosen: Chosen, pixels: Array) -> None:
    """Which test images this run once got right and now gets wrong; all its checkpoints are asked about all of them."""
    with st.container(border=True):
        st.markdown("**Learned, then forgotten**")
        epochs = chosen.run.whole_epochs()
        if len(epochs) < 2:
            st.caption("Forgetting shows from checkpoint to checkpoint, and this run has only one.")
            return
        if not st.toggle("Ask all checkpoints of this run about all test images", key="forgotten"):
            return
        found = scores.forgotten(_history(chosen, epochs))
        st.markdown(outcome_words.forgotten_sentence(found, len(epochs)))
        if len(found.lost):
            last = Chosen(chosen.store, chosen.run, chosen.run.checkpoint_path(epochs[-1]))
            show_images(found.lost, pixels, answers(last), "forgotten")


def _history(chosen: Chosen, epochs: list[int]) -> Array:
    """(E, N) bool, whether each test image was right at each checkpoint."""
    bar = st.progress(0.0, "Asking every checkpoint…")
    rows = []
    for done, epoch in enumerate(epochs, 1):
        rows.append(correct(Chosen(chosen.store, chosen.run, chosen.run.checkpoint_path(epoch))))
        bar.progress(done / len(epochs), f"Asking every checkpoint… {done} of {len(epochs)}")
    bar.empty()
    return np.stack(rows)
