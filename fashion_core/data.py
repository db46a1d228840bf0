"""The images to learn from, as bytes on the device that trains, and the batches made of them there."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fashion_core import dataset_files, files, garments
from fashion_core.errors import DiskError
from fashion_core.vision import import_torchvision

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
MEAN, STD = 0.2860, 0.3530
"""Of Fashion-MNIST's training pixels, scaled to 0..1."""
_SYNTHETIC_SHA256 = "9a2570493187c6c592c08a1e689135f432a5a67b11470681bdf25f5c1a7e7152"
"""Of all drawn images and labels: what a cache must hold to be used."""
_EVALUATION_BATCH = 1000
_SCALED_AT_ONCE = 1024
"""Images: so few that they stay in the processor's cache, so many that one scaling serves several small batches."""
_MAX_SHIFT = 2


@dataclass(frozen=True)
class Images:
    """One half of a dataset: ``pixels`` (N, 28, 28) uint8 and ``labels`` (N,) int64, on one device."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Images":
        """The first ``count`` images, or all if it is 0."""
        return Images(self.pixels[:count], self.labels[:count]) if count else self

    def to(self, device: torch.device) -> "Images":
        """The same images on another device."""
        return Images(self.pixels.to(device), self.labels.to(device))


def load(dataset: str) -> tuple[Images, Images]:
    """Training and test images of a dataset, on the CPU. Raises ``DataError`` or ``DiskError``."""
    return _load_fashion_mnist() if dataset == "fashion-mnist" else _load_synthetic()


def _load_fashion_mnist() -> tuple[Images, Images]:
    """torchvision reads unpacked files alone, and the folder that has them may be read-only: unpack beside it."""
    with tempfile.TemporaryDirectory(prefix="fashion-mnist-") as folder:
        raw = Path(folder, "FashionMNIST", "raw")
        with files.disk_errors(raw):
            raw.mkdir(parents=True)
            for archive in dataset_files.ARCHIVES:
                (raw / archive.unpacked_name).write_bytes(dataset_files.unpack(archive))
        datasets = import_torchvision().datasets
        halves = [datasets.FashionMNIST(folder, train=train) for train in (True, False)]
    train, test = (Images(half.data, half.targets) for half in halves)
    return train, test


def _load_synthetic() -> tuple[Images, Images]:
    cache = dataset_files.root() / "synthetic-garments.bytes"
    packed = b""
    with suppress(OSError):  # a cache that can't be read is drawn again
        packed = cache.read_bytes()
    if hashlib.sha256(packed).hexdigest() != _SYNTHETIC_SHA256:
        packed = _draw_synthetic()
        _keep(cache, packed)
    return _unpack(packed)


def _draw_synthetic() -> bytes:
    train, test = garments.train_set(), garments.test_set()
    return b"".join(array.tobytes() for array in (train[0], test[0], train[1], test[1]))


def _keep(cache: Path, packed: bytes) -> None:
    """A cache is a convenience: where it can't be written, the log says so and the next run draws again."""
    try:
        with files.disk_errors(cache.parent):
            cache.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(cache, packed)
    except DiskError as error:
        print(f"The synthetic garments are not cached: {error}")


def _unpack(packed: bytes) -> tuple[Images, Images]:
    """All images, training first, then all labels."""
    everything = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
    count = garments.TRAIN_IMAGES + garments.TEST_IMAGES
    pixels, labels = everything[: count * 784].view(count, 28, 28), everything[count * 784 :].long()
    split = garments.TRAIN_IMAGES
    return Images(pixels[:split], labels[:split]), Images(pixels[split:], labels[split:])


def scale(pixels: Tensor, scaling: str) -> Tensor:
    """Bytes (N, 28, 28) to what the model takes: (N, 1, 28, 28) float32, scaled as ``TrainConfig.pixels`` says."""
    images = pixels.unsqueeze(1).float()
    if scaling == "raw":
        return images
    images = images.div_(255)
    return images if scaling == "unit" else images.sub_(MEAN).div_(STD)


def seed_of_epoch(seed: int, epoch: int) -> int:
    """One seed for each epoch of each run: neighbours share no stream, and a resumed epoch gets its own again."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> 1)


def epoch_batches(
    images: Images, batch_size: int, scaling: str, augmentation: str, epoch_seed: int, first_batch: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch's batches from ``first_batch`` on: inputs (B, 1, 28, 28) float32 and labels (B,) int64.

    Order and augmentation follow from ``epoch_seed`` alone, so a part of an epoch is the same part each time.
    """
    generator = torch.Generator().manual_seed(epoch_seed)
    order = torch.randperm(len(images), generator=generator).to(images.pixels.device)
    pixels, labels = images.pixels[order], images.labels[order]
    if augmentation == "flip and shift":
        pixels = flip_and_shift(pixels, generator)
    at_once = max(1, _SCALED_AT_ONCE // batch_size) * batch_size
    for start in range(first_batch * batch_size, len(images), at_once):
        inputs, truth = scale(pixels[start : start + at_once], scaling), labels[start : start + at_once]
        yield from zip(torch.split(inputs, batch_size), torch.split(truth, batch_size), strict=True)


def flip_and_shift(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images and move each by up to two pixels, black moving in; (N, 28, 28) uint8 both ways."""
    count, height, width = pixels.shape
    device = pixels.device
    down, right = torch.randint(0, 2 * _MAX_SHIFT + 1, (2, count, 1), generator=generator).to(device)
    flip = torch.rand(count, 1, generator=generator).to(device) < 0.5
    columns = torch.arange(width, device=device)
    columns = torch.where(flip, width - 1 - columns, columns) + right
    rows = torch.arange(height, device=device) + down
    padded = torch.nn.functional.pad(pixels, (_MAX_SHIFT,) * 4)
    return padded[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def test_batches(images: Images, scaling: str) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, in batches of 1,000: inputs (B, 1, 28, 28) float32 and labels (B,) int64."""
    for start in range(0, len(images), _EVALUATION_BATCH):
        stop = start + _EVALUATION_BATCH
        yield scale(images.pixels[start:stop], scaling), images.labels[start:stop]
