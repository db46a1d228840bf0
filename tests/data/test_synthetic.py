"""The synthetic garments: the same everywhere, bright on black, and worth learning."""

import ast
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fashion_core.data import drawing, synthetic

TRAIN_SHA256 = "3753819edeb206233ff703c45fe184149eba7e515e86dbec5c7b746bfae580f2"
TEST_SHA256 = "c6155567798b7a1450acac5dca62d4dae060ce5ea426f0bf563d792cb287b141"

EXACT_EVERYWHERE = {"abs", "clip", "floor", "maximum", "minimum", "select", "sqrt"}
NO_ARITHMETIC = {"arange", "argsort", "astype", "flatnonzero", "ndarray", "random", "shape", "zeros", "zeros_like"}
TYPES = {"float64", "integer", "intp", "uint8"}

Pictures = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def train_set() -> Pictures:
    return synthetic.train_set()


@pytest.fixture(scope="module")
def test_set() -> Pictures:
    return synthetic.test_set()


def sha256(pictures: Pictures) -> str:
    images, labels = pictures
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def test_the_training_set_is_the_same_bytes_everywhere(train_set: Pictures) -> None:
    assert sha256(train_set) == TRAIN_SHA256


def test_the_test_set_is_the_same_bytes_everywhere(test_set: Pictures) -> None:
    assert sha256(test_set) == TEST_SHA256


def test_the_same_seed_draws_the_same_pictures_again() -> None:
    labels = np.arange(50) % 10
    np.testing.assert_array_equal(synthetic.draw(labels, seed=3), synthetic.draw(labels, seed=3))


def test_another_seed_draws_other_pictures() -> None:
    labels = np.arange(50) % 10
    pairs = zip(synthetic.draw(labels, seed=3), synthetic.draw(labels, seed=4), strict=True)
    assert not any(np.array_equal(one, other) for one, other in pairs)


def test_each_place_gets_a_picture_of_its_own_label() -> None:
    alone = synthetic.draw(np.array([1, 1]), seed=3)
    among_others = synthetic.draw(np.array([8, 1, 5, 1]), seed=3)
    np.testing.assert_array_equal(among_others[[1, 3]], alone)


@pytest.mark.parametrize("module", [drawing, synthetic])
def test_only_operations_that_every_processor_rounds_alike_are_used(module: ModuleType) -> None:
    nodes = list(ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    of_numpy = {name for name in names if any(hasattr(home, name) for home in (np, np.ndarray, np.random.Generator))}
    assert of_numpy <= EXACT_EVERYWHERE | NO_ARITHMETIC | TYPES
    assert not any(isinstance(node, ast.Pow | ast.MatMult) for node in nodes)


def test_drawing_needs_neither_torch_nor_streamlit_nor_pandas() -> None:
    code = "import sys, fashion_core.data.synthetic; print({'torch', 'streamlit', 'pandas'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


@pytest.mark.parametrize(("pictures", "count"), [("train_set", 12_000), ("test_set", 2_000)])
def test_sets_have_the_shapes_of_fashion_mnist(pictures: str, count: int, request: pytest.FixtureRequest) -> None:
    images, labels = request.getfixturevalue(pictures)
    assert (images.shape, images.dtype) == ((count, 28, 28), np.uint8)
    assert (labels.shape, labels.dtype) == ((count,), np.uint8)


@pytest.mark.parametrize("pictures", ["train_set", "test_set"])
def test_classes_are_balanced(pictures: str, request: pytest.FixtureRequest) -> None:
    _, labels = request.getfixturevalue(pictures)
    assert set(np.bincount(labels, minlength=10)) == {len(labels) // 10}


@pytest.mark.parametrize("pictures", ["train_set", "test_set"])
def test_classes_are_shuffled(pictures: str, request: pytest.FixtureRequest) -> None:
    _, labels = request.getfixturevalue(pictures)
    repeats = np.mean(labels[1:] == labels[:-1])
    assert 0.08 < repeats < 0.12


def test_every_garment_is_bright_on_black(train_set: Pictures) -> None:
    images, _ = train_set
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert np.mean(border == 0) > 0.9
    assert np.mean(border == 0, axis=1).min() > 0.25
    assert images.max(axis=(1, 2)).min() > 60


def test_no_picture_comes_twice(train_set: Pictures, test_set: Pictures) -> None:
    images = np.concatenate([train_set[0], test_set[0]])
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Batches this small take longer on more threads when other programs share the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(pictures: Pictures) -> tuple[Tensor, Tensor]:
    images, labels = pictures
    return torch.from_numpy(images).unsqueeze(1).float() / 255, torch.from_numpy(labels).long()


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    model.train()
    order = torch.randperm(len(images))
    for start in range(0, len(images), 64):
        batch = order[start : start + 64]
        optimizer.zero_grad()
        functional.cross_entropy(model(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@torch.no_grad()
def evaluate(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean loss and accuracy."""
    model.eval()
    scores = torch.cat([model(images[start : start + 500]) for start in range(0, len(images), 500)])
    return functional.cross_entropy(scores, labels).item(), (scores.argmax(1) == labels).double().mean().item()


@pytest.mark.usefixtures("one_thread")
def test_a_linear_model_learns_much_but_does_not_solve_it(train_set: Pictures, test_set: Pictures) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(15):
        train_epoch(model, optimizer, *tensors(train_set))
    _, accuracy = evaluate(model, *tensors(test_set))
    assert 0.75 < accuracy < 0.9


@pytest.mark.usefixtures("one_thread")
def test_the_tutorials_settings_improve_the_loss_each_epoch(train_set: Pictures, test_set: Pictures) -> None:
    torch.manual_seed(0)
    layers = (nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    model = nn.Sequential(nn.Flatten(), *layers)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    losses = [evaluate(model, *tensors(test_set))[0]]
    for _ in range(3):
        train_epoch(model, optimizer, *tensors(train_set))
        losses.append(evaluate(model, *tensors(test_set))[0])
    assert all(before - after > 0.01 for before, after in pairwise(losses))


def block(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(), nn.MaxPool2d(2))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_small_cnn_passes_95_percent_within_8_epochs(train_set: Pictures, test_set: Pictures) -> None:
    torch.manual_seed(0)
    head = (nn.Dropout(0.25), nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10))
    model = nn.Sequential(block(1, 32), block(32, 64), *head)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(8):
        train_epoch(model, optimizer, *tensors(train_set))
        _, accuracy = evaluate(model, *tensors(test_set))
        if accuracy > 0.95:
            return
    pytest.fail(f"{accuracy:.1%} after 8 epochs")
