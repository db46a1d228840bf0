"""What the model of a saved file predicts, computed once for all viewers."""

from pathlib import Path

import numpy as np
import streamlit as st

from fashion_core.files import Signature, signature
from fashion_core.inference.client import PREDICTOR
from fashion_core.inference.prepare import Prepared
from fashion_core.inference.scores import Answers, Array
from fashion_core.runs.run import Run
from fashion_core.ui.saved_file import Chosen


@st.cache_resource(max_entries=2, show_spinner="Reading the test images…")
def test_images(dataset: str) -> tuple[Array, Array]:
    """Pixels (N, 28, 28) uint8 and labels (N,) int64 of a dataset's test half. Raises ``WorkerError``."""
    return PREDICTOR.test_images(dataset)


def evaluate(chosen: Chosen) -> Answers:
    """What the file's model predicts for all test images. Raises ``WorkerError`` or ``DiskError``."""
    config = chosen.run.record.config
    return _evaluate(str(chosen.file), signature(chosen.file), config.dataset, config.pixels)


@st.cache_resource(max_entries=16, show_spinner="Running the model on all test images…")
def _evaluate(path: str, key: Signature, dataset: str, scaling: str) -> Answers:
    return _answers(path, dataset, scaling)


def _answers(path: str, dataset: str, scaling: str) -> Answers:
    _, labels = test_images(dataset)
    return Answers(PREDICTOR.evaluate(Path(path), dataset, scaling), labels)


def correct(run: Run, file: Path) -> Array:
    """(N,) bool: which test images a file's model gets right; for many checkpoints only this is kept."""
    config = run.record.config
    return _correct(str(file), signature(file), config.dataset, config.pixels)


@st.cache_resource(max_entries=5000, show_spinner=False)
def _correct(path: str, key: Signature, dataset: str, scaling: str) -> Array:
    return _answers(path, dataset, scaling).correct


def probabilities(run: Run, file: Path, pixels: Array) -> Array:
    """(10,) float32: what a file's model predicts for one image (28, 28) uint8."""
    return _probabilities(str(file), signature(file), run.record.config.pixels, pixels.tobytes())


@st.cache_resource(max_entries=5000, show_spinner=False)
def _probabilities(path: str, key: Signature, scaling: str, pixels: bytes) -> Array:
    image = np.frombuffer(pixels, np.uint8).reshape(1, 28, 28)
    return np.asarray(PREDICTOR.predict(Path(path), image, scaling)[0])


@st.cache_resource(max_entries=64, show_spinner="Preparing the image…")
def prepared(file: bytes) -> Prepared:
    """An image of the visitor, made to look like the training set. Raises ``WorkerError``."""
    return PREDICTOR.prepare(file)
