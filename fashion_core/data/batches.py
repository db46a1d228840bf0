"""The images of a dataset, as bytes on the device that trains, and the batches made from them there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fashion_core.data import images as raw_images
from fashion_core.data.description import Description, describe

EVALUATION_BATCH = 1000
_SCALED_AT_ONCE = 1024  # few enough for the processor's cache, enough that one scaling serves several small batches
_MAX_SHIFT = 2


@dataclass(frozen=True)
class Images:
    """One half of a dataset: ``pixels`` (N, C, H, W) uint8 and ``labels`` (N,) int64, on one device."""

    pixels: Tensor
    labels: Tensor
    description: Description

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Images":
        """The first ``count`` images, or all if it is 0."""
        return replace(self, pixels=self.pixels[:count], labels=self.labels[:count]) if count else self

    def to(self, device: torch.device) -> "Images":
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device))


def load(dataset: str) -> tuple[Images, Images]:
    """Load the training and the test images of a dataset, on the CPU. Raises ``DataError`` or ``DiskError``."""
    description = describe(dataset)
    return as_images(raw_images.read(description), description)


def as_images(halves: tuple[raw_images.Half, raw_images.Half], description: Description) -> tuple[Images, Images]:
    """Copy what ``images.read`` returns into tensors."""
    train, test = (
        Images(torch.tensor(pixels), torch.from_numpy(labels.astype(np.int64)), description)
        for pixels, labels in halves
    )
    return train, test


def scale(pixels: Tensor, scaling: str, description: Description) -> Tensor:
    """Turn bytes (N, C, H, W) into what models take: the same as float32, scaled as ``TrainConfig.pixels`` says."""
    images = pixels.float()
    if scaling == "raw":
        return images
    images.div_(255)
    if scaling == "standard":
        for channel, mean, std in zip(images.unbind(1), description.mean, description.std, strict=True):
            channel.sub_(mean).div_(std)
    return images


def seed_of_epoch(seed: int, epoch: int) -> int:
    """Return one seed for each epoch of each run: no two share one, and a repeated epoch gets its own again."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> 1)


def epoch_batches(
    images: Images,
    batch_size: int,
    scaling: str,
    augmentation: str,
    epoch_seed: int,
    first_batch: int = 0,
    share: Callable[[int], slice] = slice,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch's batches from ``first_batch`` on: inputs (B, C, H, W) float32 and labels (B,) int64.

    Order and augmentation depend only on ``epoch_seed``, so the rest of an interrupted epoch is always the same.
    ``share`` says which part of a batch of so many images to yield: by default all of it.
    """
    generator = torch.Generator().manual_seed(epoch_seed)
    order = torch.randperm(len(images), generator=generator)
    moves = draw_moves(len(images), generator) if augmentation == "flip and shift" else None
    shares = [batch[share(len(batch))] for batch in torch.split(torch.arange(len(images)), batch_size)]
    own, sizes = torch.cat(shares), list(map(len, shares))
    order = order[own].to(images.pixels.device)
    pixels = images.pixels.index_select(0, order)  # copies whole images, in half the time of pixels[order]
    labels = images.labels[order]
    if moves is not None:
        pixels = flip_and_shift(pixels, moves[:, own])
    start, at_once = sum(sizes[:first_batch]), max(1, _SCALED_AT_ONCE // batch_size)
    for batch in range(first_batch, len(sizes), at_once):
        some = sizes[batch : batch + at_once]
        stop = start + sum(some)
        inputs, truth = scale(pixels[start:stop], scaling, images.description), labels[start:stop]
        yield from zip(torch.split(inputs, some), torch.split(truth, some), strict=True)
        start = stop


def draw_moves(count: int, generator: torch.Generator) -> Tensor:
    """Draw how each image is moved down, right, and whether it is mirrored; (3, N) int64."""
    shifts = torch.randint(0, 2 * _MAX_SHIFT + 1, (2, count, 1), generator=generator)
    return torch.cat([shifts, torch.rand(1, count, 1, generator=generator) < 0.5]).squeeze(2)


def flip_and_shift(pixels: Tensor, moves: Tensor) -> Tensor:
    """Mirror and move each image by up to two pixels, black moving in; (N, C, H, W) uint8 both ways."""
    count, channels, height, width = pixels.shape
    device = pixels.device
    down, right, flip = moves.unsqueeze(2).to(device)
    columns = torch.arange(width, device=device)
    columns = torch.where(flip.bool(), width - 1 - columns, columns) + right
    rows = torch.arange(height, device=device) + down
    padded = torch.nn.functional.pad(pixels, (_MAX_SHIFT,) * 4)
    image, channel = torch.arange(count, device=device), torch.arange(channels, device=device)
    return padded[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None]]


def test_batches(
    images: Images,
    scaling: str,
    share: Callable[[int], slice] = slice,  # noqa: PT028 -- no test
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all images in order, in batches of 1,000: inputs (B, C, H, W) float32 and labels (B,) int64.

    ``share`` says which of so many batches to yield: by default all of them.
    """
    starts = range(0, len(images), EVALUATION_BATCH)
    for start in starts[share(len(starts))]:
        stop = start + EVALUATION_BATCH
        yield scale(images.pixels[start:stop], scaling, images.description), images.labels[start:stop]
