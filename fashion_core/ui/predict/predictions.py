"""Predictions of saved models, computed once for all viewers."""

from pathlib import Path

import numpy as np
import streamlit as st

from fashion_core.cache import Cache, identity
from fashion_core.config import TrainConfig
from fashion_core.data.description import Description, describe
from fashion_core.inference.client import PREDICTOR
from fashion_core.inference.prepare import Prepared
from fashion_core.inference.scores import Answers, Array
from fashion_core.runs.run import Run
from fashion_core.ui.checkpoints.saved_file import Chosen
from fashion_core.ui.predict import texts

_answers: Cache[Answers] = Cache(16)
_correct: Cache[Array] = Cache(5000)
_predicted: Cache[Array] = Cache(5000)


def test_images(dataset: str) -> tuple[Array, Array]:
    """The test half of a dataset: (N, channels, height, width) uint8 and labels (N,) int64. Raises ``WorkerError``."""
    return _test_images(dataset, describe(dataset).sha256)


@st.cache_resource(max_entries=2, show_spinner=texts.READING_TEST_IMAGES)
def _test_images(dataset: str, sha256: str) -> tuple[Array, Array]:
    return PREDICTOR.test_images(dataset)


def evaluate(chosen: Chosen) -> Answers:
    """What the file's model predicts for all test images. Raises ``WorkerError`` or ``DiskError``."""
    file, config = chosen.file, chosen.run.record.config
    with st.spinner(texts.RUNNING_MODEL):
        key = (file, describe(config.dataset).sha256, config.pixels)
        return _answers.get(key, identity(file), lambda: _evaluate(file, config))


def _evaluate(file: Path, config: TrainConfig) -> Answers:
    _, labels = test_images(config.dataset)
    classes = describe(config.dataset).classes
    return Answers(PREDICTOR.evaluate(file, config.dataset, config.pixels), labels, classes)


def correct(run: Run, file: Path) -> Array:
    """(N,) bool: which test images a file's model gets right; for many checkpoints only this is kept."""
    config = run.record.config
    key = (file, describe(config.dataset).sha256, config.pixels)
    return _correct.get(key, identity(file), lambda: _evaluate(file, config).correct)


def probabilities(run: Run, file: Path, pixels: Array) -> Array:
    """(C,) float32: what a file's model predicts for one image (channels, height, width) uint8."""
    scaling, dataset = run.record.config.pixels, run.record.description
    key = (file, scaling, dataset.sha256, pixels.tobytes())
    return _predicted.get(
        key, identity(file), lambda: np.asarray(PREDICTOR.predict(file, pixels[None], scaling, dataset)[0])
    )


@st.cache_resource(max_entries=64, show_spinner=texts.PREPARING_IMAGE)
def prepared(file: bytes, _dataset: Description, sha256: str) -> Prepared:
    """An image of the visitor, made to look like the training set. Raises ``WorkerError``."""
    return PREDICTOR.prepare(file, _dataset)
