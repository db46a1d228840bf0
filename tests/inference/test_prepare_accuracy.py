"""Test images that went through other hands are classified like the originals; each message has the share."""

from collections.abc import Callable, Sequence
from functools import partial
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
from fashion_core.data.description import BUILT_IN
from fashion_core.inference.prepare import prepare
from fashion_core.models import networks
from tests.support.images import Pixels, cut_out, enlarged, on_white, stored, transparent, with_alpha

CASES, FEW, CUT_OUTS = 500, 100, 1_000
LEAST = 0.95
POINTS = 0.02
ACCURACY = 0.88
SEEN = 240_000
"""Images to train on at most, in four epochs or more."""
QUICKLY = partial(stored, compress_level=1)
"""As PNG: the same pixels, packed in a third of the time."""


def framed(pixels: Pixels, margin: int, level: int) -> bytes:
    return QUICKLY(np.pad(pixels, margin, constant_values=level))


CHANGES: dict[str, Callable[[Pixels], bytes]] = {
    "as PNG": stored,
    "enlarged ×8, nearest": lambda pixels: QUICKLY(enlarged(pixels, 8, Image.Resampling.NEAREST)),
    "enlarged ×8, bicubic": lambda pixels: QUICKLY(enlarged(pixels, 8)),
    "inverted": lambda pixels: stored(255 - pixels),
    "inverted and enlarged ×8, bicubic": lambda pixels: QUICKLY(255 - enlarged(pixels, 8)),
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
    side = int(numbers.integers(100, 180))
    top, left = numbers.integers(0, (320 - side, 240 - side))
    seen = np.zeros((320, 240))
    garment = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    seen[top : top + side, left : left + side] = np.asarray(garment) / 255
    down, right = np.mgrid[-1:1:320j, -1:1:240j]
    direction = numbers.uniform(0, 2 * np.pi)
    light = numbers.uniform(185, 235) + 20 * (np.cos(direction) * right + np.sin(direction) * down)
    colours = (light * (1 - 0.95 * seen))[..., None] * (1, 0.98, 0.95) + numbers.normal(0, 4, (320, 240, 3))
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
        self.pixels, self.labels = test.pixels[:, 0].numpy(), test.labels.numpy()

    def classes(self, pictures: Sequence[bytes] | Pixels) -> NDArray[np.int64]:
        """The likeliest class of each image file, or of each image as it is."""
        found = (
            pictures if isinstance(pictures, np.ndarray) else np.concatenate([prepare(one).pixels for one in pictures])
        )
        with torch.inference_mode():
            logits = self.model(data.scale(torch.from_numpy(found)[:, None], "standard", BUILT_IN["fashion-mnist"]))
        return np.asarray(logits.argmax(1))

    def agreement(self, change: Callable[[Pixels], bytes], cases: int = CASES) -> float:
        originals = self.pixels[:cases]
        found = self.classes([change(pixels) for pixels in originals])
        return float((found == self.classes(originals)).mean())


def trained(dataset: str, train: data.Images, test: data.Images) -> nn.Module:
    settings = {"optimizer": "adam", "schedule": "cosine", "batch_size": 256}
    config = parse_config({"dataset": dataset, "epochs": SEEN // len(train.labels), **settings})
    model = networks.build_model("mlp", config.seed)
    step = loops.TrainStep(model, nn.CrossEntropyLoss(), loops.make_optimizer(config, model))
    for epoch in range(config.epochs):
        for group in step.optimizer.param_groups:
            group["lr"] = config.learning_rate_at(epoch * config.batches_per_epoch)
        seed = data.seed_of_epoch(config.seed, epoch)
        for _ in loops.train_loop(data.epoch_batches(train, config.batch_size, "standard", "none", seed), model, step):
            pass
        measured = loops.test_loop(data.test_batches(test, "standard"), model, nn.CrossEntropyLoss(reduction="none"))
        if measured.accuracy >= ACCURACY:
            return model
    pytest.fail(f"test accuracy {measured.accuracy:.1%} after {config.epochs} epochs; {ACCURACY:.0%} are needed")


@pytest.fixture(scope="module")
def synthetic(synthetic_data: Path) -> Judge:
    return Judge("synthetic", synthetic_data)


@pytest.fixture(scope="module")
def real(real_data: Path) -> Judge:
    return Judge("fashion-mnist", real_data)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [*CHANGES, *ROUGH])
def test_each_change_leaves_the_class_of_the_garments(real: Judge, name: str) -> None:
    share = real.agreement({**CHANGES, **ROUGH}[name])
    print(f"{share:.1%} of {CASES}")
    assert share >= LEAST, f"{share:.1%} of {CASES} pictures were classified like their originals; {LEAST:.0%} must be"


@pytest.mark.slow
def test_each_change_leaves_the_class_of_synthetic_garments(synthetic: Judge) -> None:
    shares = {name: synthetic.agreement(change, FEW) for name, change in CHANGES.items()}
    print(shares)
    assert {name: share for name, share in shares.items() if share < LEAST} == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("judge", ["synthetic", "real"])
def test_cut_outs_are_classified_as_well_as_the_same_on_white(request: pytest.FixtureRequest, judge: str) -> None:
    asked: Judge = request.getfixturevalue(judge)
    pictures, labels = [cut_out(pixels, 140) for pixels in asked.pixels[:CUT_OUTS]], asked.labels[:CUT_OUTS]
    bare = float((asked.classes([QUICKLY(picture) for picture in pictures]) == labels).mean())
    white = float((asked.classes([QUICKLY(on_white(picture)) for picture in pictures]) == labels).mean())
    said = f"{bare:.1%} of {CUT_OUTS:,} cut-outs are classified right, {white:.1%} of the same on white"
    print(said)
    assert abs(bare - white) <= POINTS, said
