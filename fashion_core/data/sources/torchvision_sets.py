"""The image sets that torchvision fetches by name, where there is a network."""

import http.client
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from fashion_core.data.pictures import Pixels
from fashion_core.data.report import Finding
from fashion_core.data.sources.base import Half, Source
from fashion_core.data.sources.stacks import Stack, as_source
from fashion_core.errors import DownloadError, printable

SETS: Final[dict[str, tuple[str, dict[str, str]]]] = {  # the class in ``torchvision.datasets``, and what else it takes
    "mnist": ("MNIST", {}),
    "kmnist": ("KMNIST", {}),
    "emnist-letters": ("EMNIST", {"split": "letters"}),
    "emnist-balanced": ("EMNIST", {"split": "balanced"}),
    "qmnist": ("QMNIST", {}),
    "usps": ("USPS", {}),
    "svhn": ("SVHN", {}),
    "cifar10": ("CIFAR10", {}),
    "cifar100": ("CIFAR100", {}),
}
_HALVES: Final[tuple[Half, ...]] = ("train", "test")
_PIECE: Final = 4_096  # images
_UPRIGHT = Finding(kind="choice", text="EMNIST's files hold the letters on their side: they were turned upright.")


def fetch(name: str, folder: Path) -> Source:
    """Fetch a set into this folder, or read it from there. Raises ``DownloadError``."""
    from fashion_core.models.torchvision_import import import_torchvision  # brings torch, which only this source needs

    kind, options = SETS[name]
    make = getattr(import_torchvision().datasets, kind)
    try:
        with redirect_stdout(sys.stderr):  # standard output holds the answer alone
            halves = [make(str(folder), download=True, **options, **_side(kind, half)) for half in _HALVES]
    except (OSError, RuntimeError, http.client.HTTPException) as error:  # torchvision's words for no network
        reason = printable(str(getattr(error, "reason", None) or error).partition("\n")[0].rstrip(".: "))
        raise DownloadError(f"{name} could not be fetched ({reason}): connect to the network and try again.") from error
    turned = kind == "EMNIST"
    stacks = [_stack(name, half, found, turned) for half, found in zip(_HALVES, halves, strict=True)]
    names = getattr(halves[0], "classes", None) or ()
    return as_source(f"torchvision's {kind}", stacks, tuple(map(str, names)), (_UPRIGHT,) if turned else ())


def _side(kind: str, half: Half) -> dict[str, Any]:
    if kind == "SVHN":
        return {"split": half}
    if kind == "QMNIST":
        return {"what": half}
    return {"train": half == "train"}


def _stack(name: str, half: Half, found: Any, turned: bool) -> Stack:
    images = np.asarray(found.data)
    if images.ndim == 4 and images.shape[1] == 3:
        images = images.transpose(0, 2, 3, 1)
    elif turned:
        images = images.transpose(0, 2, 1)
    labels = np.asarray(found.labels if hasattr(found, "labels") else found.targets).astype(np.int64)
    labels = labels[:, 0] if labels.ndim == 2 else labels  # QMNIST has more about each digit
    return Stack(f"{name} {half}", half, labels, partial(_pieces, images))


def _pieces(images: Pixels) -> Iterator[Pixels]:
    for start in range(0, len(images), _PIECE):
        yield images[start : start + _PIECE]
