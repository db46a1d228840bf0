"""The synthetic garments: the same everywhere, bright on black, and worth learning."""

import ast
import hashlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fashion_core import loops
from fashion_core.data import batches, drawing, synthetic
from fashion_core.data.batches import Images
from fashion_core.data.description import BUILT_IN
from fashion_core.models import build_model
from tests.support.processes import python

TRAIN_SHA256 = "3753819edeb206233ff703c45fe184149eba7e515e86dbec5c7b746bfae580f2"
TEST_SHA256 = "c6155567798b7a1450acac5dca62d4dae060ce5ea426f0bf563d792cb287b141"

EXACT_EVERYWHERE = {"abs", "clip", "floor", "maximum", "minimum", "select", "sqrt"}
NO_ARITHMETIC = {"arange", "argsort", "astype", "flatnonzero", "ndarray", "random", "shape", "zeros", "zeros_like"}
TYPES = {"float64", "integer", "intp", "uint8"}

Pictures = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def train_set() -> Pictures:
    return synthetic.balanced(12_000, seed=1)


@pytest.fixture(scope="module")
def test_set() -> Pictures:
    return synthetic.balanced(2_000, seed=2)


def sha256(pictures: Pictures) -> str:
    images, labels = pictures
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def test_the_sets_are_the_same_bytes_everywhere(train_set: Pictures, test_set: Pictures) -> None:
    assert (sha256(train_set), sha256(test_set)) == (TRAIN_SHA256, TEST_SHA256)


def test_each_place_gets_a_picture_of_its_own_label_and_with_another_seed_another() -> None:
    alone = synthetic.draw(np.array([1, 1]), seed=3)
    np.testing.assert_array_equal(synthetic.draw(np.array([8, 1, 5, 1]), seed=3)[[1, 3]], alone)
    labels = np.arange(50) % 10
    pairs = zip(synthetic.draw(labels, seed=3), synthetic.draw(labels, seed=4), strict=True)
    assert not any(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("module", [drawing, synthetic])
def test_only_operations_that_every_processor_rounds_alike_are_used(module: ModuleType) -> None:
    nodes = list(ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    of_numpy = {name for name in names if any(hasattr(home, name) for home in (np, np.ndarray, np.random.Generator))}
    assert of_numpy <= EXACT_EVERYWHERE | NO_ARITHMETIC | TYPES
    assert not any(isinstance(node, ast.Pow | ast.MatMult) for node in nodes)


def test_drawing_needs_neither_torch_nor_streamlit_nor_pandas() -> None:
    code = "import sys, fashion_core.data.synthetic; print({'torch', 'streamlit', 'pandas'} & set(sys.modules))"
    assert python(code).stdout.strip() == "set()"


def test_classes_are_balanced_and_shuffled(train_set: Pictures, test_set: Pictures) -> None:
    for _, labels in (train_set, test_set):
        assert set(np.bincount(labels, minlength=10)) == {len(labels) // 10}
        assert 0.08 < np.mean(labels[1:] == labels[:-1]) < 0.12


def test_every_garment_is_bright_on_black_and_comes_once(train_set: Pictures, test_set: Pictures) -> None:
    images = np.concatenate([train_set[0], test_set[0]])
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert np.mean(border == 0) > 0.9
    assert np.mean(border == 0, axis=1).min() > 0.25
    assert images.max(axis=(1, 2)).min() > 60
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Batches this small take longer on more threads when other programs share the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def learn(
    model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int, *sets: Pictures
) -> Iterator[loops.Evaluation]:
    """Yield what a test of the model gives, before it learns and after each epoch."""
    train, test = (
        Images(torch.from_numpy(pixels)[:, None], torch.from_numpy(labels).long(), BUILT_IN["synthetic"])
        for pixels, labels in sets
    )
    step = loops.TrainStep(model, nn.CrossEntropyLoss(), optimizer)

    def measure() -> loops.Evaluation:
        return loops.test_loop(batches.test_batches(test, "unit"), model, nn.CrossEntropyLoss(reduction="none"))

    yield measure()
    for epoch in range(epochs):
        for _ in loops.train_loop(batches.epoch_batches(train, 64, "unit", "none", epoch), model, step):
            pass
        yield measure()


@pytest.mark.usefixtures("one_thread")
def test_a_linear_model_learns_much_but_does_not_solve_it(train_set: Pictures, test_set: Pictures) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    *_, last = learn(model, torch.optim.Adam(model.parameters(), 1e-3), 15, train_set, test_set)
    assert 0.75 < last.accuracy < 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_tutorials_settings_improve_the_loss_each_epoch(train_set: Pictures, test_set: Pictures) -> None:
    model = build_model("mlp", seed=0)
    found = learn(model, torch.optim.SGD(model.parameters(), 1e-3), 3, train_set, test_set)
    assert all(before.loss - after.loss > 0.01 for before, after in pairwise(found))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_small_cnn_passes_95_percent_within_8_epochs(train_set: Pictures, test_set: Pictures) -> None:
    model = build_model("cnn", seed=0)
    found = learn(model, torch.optim.Adam(model.parameters(), 2e-3), 8, train_set, test_set)
    assert any(one.accuracy > 0.95 for one in found)
