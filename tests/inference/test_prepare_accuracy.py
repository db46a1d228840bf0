"""Test images that went through other hands are classified like the originals; each message has the share."""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from fashion_core import loops
from fashion_core.config import parse_config
from fashion_core.data import batches as data
from fashion_core.inference.prepare import prepare
from fashion_core.models import networks
from tests.support.images import Pixels, cut_out, enlarged, on_white, stored, transparent, with_alpha

CASES, CUT_OUTS = 500, 1_000
LEAST = 0.95
POINTS = 0.02
ACCURACY = 0.88
MOST_EPOCHS = 20


def framed(pixels: Pixels, margin: int, level: int) -> bytes:
    return stored(np.pad(pixels, margin, constant_values=level))


CHANGES: dict[str, Callable[[Pixels], bytes]] = {
    "as PNG": stored,
    "enlarged ×8, nearest": lambda pixels: stored(enlarged(pixels, 8, Image.Resampling.NEAREST)),
    "enlarged ×8, bicubic": lambda pixels: stored(enlarged(pixels, 8)),
    "inverted": lambda pixels: stored(255 - pixels),
    "inverted and enlarged ×8, bicubic": lambda pixels: stored(255 - enlarged(pixels, 8)),
    **{f"dark margin of {n}": partial(framed, margin=n, level=0) for n in (2, 8, 36)},
    **{f"bright margin of {n}": partial(framed, margin=n, level=255) for n in (2, 8, 36)},
    "inverted with a bright margin of 8": lambda pixels: framed(255 - pixels, 8, 255),
    "inverted with a dark margin of 8": lambda pixels: framed(255 - pixels, 8, 0),
    "opaque alpha": lambda pixels: stored(with_alpha(pixels, np.full_like(pixels, 255))),
    "alpha where the garment is": lambda pixels: stored(transparent(pixels)),
    "enlarged ×8 as JPEG": lambda pixels: stored(enlarged(pixels, 8), "JPEG", quality=75),
}
"""What keeps the frame of 28 × 28 pixels, or shows where it was."""


def photographed(pixels: Pixels) -> bytes:
    """A dark garment somewhere on a light wall, unevenly lit; the noise and JPEG's traces are what a phone adds."""
    numbers = np.random.default_rng(int(pixels.sum()))
    side = int(numbers.integers(200, 360))
    top, left = numbers.integers(0, (640 - side, 480 - side))
    seen = np.zeros((640, 480))
    garment = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    seen[top : top + side, left : left + side] = np.asarray(garment) / 255
    down, right = np.mgrid[-1:1:640j, -1:1:480j]
    direction = numbers.uniform(0, 2 * np.pi)
    light = numbers.uniform(185, 235) + 20 * (np.cos(direction) * right + np.sin(direction) * down)
    colours = (light * (1 - 0.95 * seen))[..., None] * (1, 0.98, 0.95) + numbers.normal(0, 4, (640, 480, 3))
    return stored(colours.clip(0, 255).astype(np.uint8), "JPEG", quality=60)


# What is asked of real garments alone.
ROUGH: dict[str, Callable[[Pixels], bytes]] = {
    "enlarged, in a margin": lambda pixels: framed(enlarged(pixels, 8), 40, 0),
    "photographed with noise and uneven light": photographed,
}


class Judge:
    """A model of at least 88 % test accuracy, and the test images whose class it is asked for."""

    def __init__(self, dataset: str, folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FASHION_DATA", str(folder))
            train, test = data.load(dataset)
        self.model = trained(dataset, train, test)
        self.pixels, self.labels = test.pixels.numpy(), test.labels.numpy()

    def classes(self, pixels: Pixels) -> NDArray[np.int64]:
        with torch.inference_mode():
            logits = self.model(data.scale(torch.from_numpy(pixels), "unit"))
        return np.asarray(logits.argmax(1))

    def accuracy(self, change: Callable[[Pixels], bytes], cases: int) -> float:
        found = np.stack([prepare(change(pixels)).pixels for pixels in self.pixels[:cases]])
        return float((self.classes(found) == self.labels[:cases]).mean())

    def agreement(self, change: Callable[[Pixels], bytes], cases: int = CASES) -> float:
        originals = self.pixels[:cases]
        found = np.stack([prepare(change(pixels)).pixels for pixels in originals])
        return float((self.classes(found) == self.classes(originals)).mean())


def trained(dataset: str, train: data.Images, test: data.Images) -> nn.Module:
    config = parse_config({"dataset": dataset, "optimizer": "adam", "learning_rate": 2e-3, "batch_size": 256})
    model = networks.build_model("mlp", config.seed)
    step = loops.TrainStep(model, nn.CrossEntropyLoss(), loops.make_optimizer(config, model))
    for epoch in range(MOST_EPOCHS):
        batches = data.epoch_batches(train, config.batch_size, "unit", "none", data.seed_of_epoch(config.seed, epoch))
        for _ in loops.train_loop(batches, model, step):
            pass
        measured = loops.test_loop(data.test_batches(test, "unit"), model, nn.CrossEntropyLoss(reduction="none"))
        if measured.accuracy >= ACCURACY:
            return model
    pytest.fail(f"test accuracy {measured.accuracy:.1%} after {MOST_EPOCHS} epochs; {ACCURACY:.0%} are needed")


@pytest.fixture(scope="module")
def synthetic(synthetic_data: Path) -> Judge:
    return Judge("synthetic", synthetic_data)


@pytest.fixture(scope="module")
def real(real_data: Path) -> Judge:
    return Judge("fashion-mnist", real_data)


@pytest.mark.slow
def test_changed_test_images_are_classified_like_the_originals(synthetic: Judge) -> None:
    cases = CASES // len(CHANGES)
    share = float(np.mean([synthetic.agreement(change, cases) for change in CHANGES.values()]))
    assert share >= LEAST, f"{share:.1%} of {cases * len(CHANGES)} pictures were classified like their originals"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("judge", "name"), [*product(["synthetic", "real"], CHANGES), *product(["real"], ROUGH)])
def test_each_change_leaves_the_class_of_the_garments(request: pytest.FixtureRequest, judge: str, name: str) -> None:
    share = request.getfixturevalue(judge).agreement({**CHANGES, **ROUGH}[name])
    print(f"{share:.1%} of {CASES}")
    assert share >= LEAST, f"{share:.1%} of {CASES} pictures were classified like their originals; {LEAST:.0%} must be"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("judge", ["synthetic", "real"])
def test_cut_outs_are_classified_as_well_as_the_same_on_white(request: pytest.FixtureRequest, judge: str) -> None:
    asked: Judge = request.getfixturevalue(judge)
    white = asked.accuracy(lambda pixels: stored(on_white(cut_out(pixels))), CUT_OUTS)
    bare = asked.accuracy(lambda pixels: stored(cut_out(pixels)), CUT_OUTS)
    said = f"{bare:.1%} of {CUT_OUTS:,} cut-outs are classified right, {white:.1%} of the same on white"
    print(said)
    assert abs(bare - white) <= POINTS, said
