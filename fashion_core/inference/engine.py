"""Use a model: images to class probabilities, from any saved file."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from fashion_core.cache import Cache, stamp
from fashion_core.data import batches as data
from fashion_core.data.description import BUILT_IN, Description, describe
from fashion_core.errors import DataError, DivergedModelError
from fashion_core.formats.load import LoadedModel, load
from fashion_core.inference.scores import Answers
from fashion_core.loops import test_loop
from fashion_core.runs.run import record_of

CACHED_BYTES = 400_000_000  # over a hundred of the tutorial's models, or eight ResNets


@torch.inference_mode()
def probabilities(
    model: nn.Module, pixels: Tensor, scaling: str, description: Description, device: torch.device
) -> Tensor:
    """Return the softmax of the logits of ``pixels`` (N, C, H, W) uint8: (N, classes) float32 on the CPU.

    The model is in ``eval`` mode on ``device``; images go through it in batches of 1,000, scaled as in its training
    on the dataset of this description. Raises ``DataError`` for images of another shape, ``DivergedModelError`` if its
    probabilities are not finite.
    """
    if tuple(pixels.shape[1:]) != description.shape[:3]:
        given, needed = (" × ".join(map(str, sizes)) for sizes in (pixels.shape[1:], description.shape[:3]))
        raise DataError(f"The model takes images of {needed}, as {description.label} has them, not of {given}.")
    batches = torch.split(pixels.to(device), data.EVALUATION_BATCH)
    found = torch.cat([model(data.scale(batch, scaling, description)).softmax(1) for batch in batches]).float().cpu()
    if not found.isfinite().all():
        raise DivergedModelError("The model's output is not finite: choose an earlier checkpoint.")
    return found


def evaluate(model: nn.Module, images: data.Images, scaling: str, device: torch.device) -> tuple[Answers, float]:
    """What a model says of labelled images, and its loss, of the logits: probabilities may underflow.

    Raises what ``probabilities`` does.
    """
    found = probabilities(model, images.pixels, scaling, images.description, device)
    batches = data.test_batches(images.to(device), scaling)
    loss = test_loop(batches, model, nn.CrossEntropyLoss(reduction="none")).loss
    return Answers(found.numpy(), images.labels.numpy(), images.description.classes), loss


class Models:
    """Models by file: each is loaded once, until its file changes or other models need the memory."""

    def __init__(self, capacity: int = CACHED_BYTES) -> None:
        self.cache = Cache[nn.Module](capacity, lambda model: sum(t.nbytes for t in model.state_dict().values()))

    def get(self, path: Path, device: torch.device, description: Description) -> nn.Module:
        """Return the model of this file, for images of this dataset, on ``device``.

        Raises ``RefusedFileError`` or ``DiskError``.
        """
        key = path, device, description.shape
        return self.cache.get(key, stamp(path), lambda: load(path, dataset=description).model.to(device))


def test_images(dataset: str) -> data.Images:
    """Return the test half of a dataset, on the CPU, read once. Raises ``DataError`` or ``DiskError``."""
    return _test_images(describe(dataset))


@lru_cache(maxsize=2)
def _test_images(description: Description) -> data.Images:
    return data.load(description.name)[1]


def trained_on(path: Path, loaded: LoadedModel) -> dict[str, str]:
    """The dataset and pixels that a model was trained on, by its file, else by its run unless that is damaged."""
    record = None if loaded.trained_on else record_of(path)
    return record.trained_on if record else loaded.trained_on


def dataset_of(path: Path, loaded: LoadedModel, name: str) -> Description:
    """What a dataset was when a model was trained on it, by its file or its run; else what it is here.

    Raises ``DataError``, ``DamagedFileError`` or ``DiskError`` where it is none of them.
    """
    record = None if loaded.dataset or name in BUILT_IN else record_of(path)
    said = loaded.dataset or (record and record.described)
    return said if said and said.name == name else describe(name)
