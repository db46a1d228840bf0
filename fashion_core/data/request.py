"""What somebody asks for when they add a dataset, checked before anything is read."""

import re
from dataclasses import dataclass

from fashion_core.config import DATASET_NAME, FITS, LONGEST_DATASET_NAME, MAX_NAME, Fit
from fashion_core.data.description import BUILT_IN, LEAST_SIDE, MOST_SIDE, folder_of
from fashion_core.errors import DataError, is_blank, is_one_line, printable


@dataclass(frozen=True)
class AddRequest:
    """``size`` is the side of square images, ``channels`` 1 or 3: None lets the images decide.

    ``called`` is what people call its file, where that lies under a name of ours; empty: it has its own.
    """

    name: str
    label: str = ""  # empty: the name
    size: int | None = None
    channels: int | None = None
    fit: Fit = "pad"
    called: str = ""


def check(request: AddRequest) -> None:
    """Raise ``DataError`` unless such a dataset can be added here."""
    check_name(request.name)
    if len(request.label) > MAX_NAME or not is_one_line(request.label):
        raise DataError(f"The label should be one line of at most {MAX_NAME} printable characters: choose another.")
    if request.size is not None and not LEAST_SIDE <= request.size <= MOST_SIDE:
        raise DataError(f"The size {request.size} is not possible: choose {LEAST_SIDE} to {MOST_SIDE} pixels.")
    if request.channels not in (None, 1, 3):
        raise DataError(f"Images can't have {request.channels} channels: choose 1, grey, or 3, colour.")
    if request.fit not in FITS:
        raise DataError(f"Images can't be made to fit by {printable(request.fit)}: choose one of {', '.join(FITS)}.")


def label_of(request: AddRequest) -> str:
    return request.name if is_blank(request.label) else request.label.strip()


def check_name(name: str) -> None:
    """Raise ``DataError`` unless a dataset may be added under this name."""
    if not re.fullmatch(DATASET_NAME, name) or len(name) > LONGEST_DATASET_NAME:
        raise DataError(
            f"The name {printable(name)!r} is not possible: use at most {LONGEST_DATASET_NAME} small letters and "
            "digits, with single hyphens between, such as my-shoes."
        )
    if name in BUILT_IN:
        raise DataError(f"{name} is a dataset that comes with the app: choose another name.")
    if folder_of(name).exists() or folder_of(name).is_symlink():
        raise DataError(f"There is a dataset {name} already: choose another name, or `data remove {name}` first.")
