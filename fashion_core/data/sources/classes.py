"""Class names and labels from outside, made such as a description can hold."""

import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from fashion_core.config import MAX_NAME, MOST_IMAGES
from fashion_core.data.description import MOST_CLASSES
from fashion_core.data.sources.base import Numbers
from fashion_core.errors import DataError, cut_middle, is_blank, one_line, printable


def class_name(given: str) -> str:
    """A name on one line, of bounded length, the same however a system writes its accents. Raises ``DataError``."""
    name = cut_middle(one_line(unicodedata.normalize("NFC", given)).strip(), MAX_NAME)
    if is_blank(name):
        raise DataError("A class has a name of which nothing can be seen: rename it.")
    return name


def class_names(given: Sequence[str]) -> tuple[str, ...]:
    """All names, in the order given. Raises ``DataError`` where there are too many, too few, or two are the same."""
    check_number(len(given))
    names: dict[str, str] = {}
    for original in given:
        name = class_name(original)
        if name in names:
            both = f"{printable(names[name])} and {printable(original)}"
            raise DataError(f"The classes {both} would both be called {name}: rename one of them.")
        names[name] = original
    return tuple(names)


def check_number(count: int) -> None:
    if count < 2:
        raise DataError(
            "There are images of only one class: a classifier needs at least 2, so put the images of each into a "
            "folder, or under a label, of its own."
        )
    if count > MOST_CLASSES:
        most = f"at most {MOST_CLASSES:,} are possible"
        raise DataError(f"There are {count:,} classes, and {most}: merge some or leave some out.")


def check_images(count: int) -> None:
    if count == 0:
        raise DataError("There are no images in it: check that it is the right place.")
    if count > MOST_IMAGES:
        raise DataError(f"It has {count:,} images, and at most {MOST_IMAGES:,} are possible: leave some out.")


def numbered(labels: Iterable[Numbers], names: Sequence[str] = ()) -> tuple[tuple[str, ...], Numbers]:
    """The classes that these labels use, and the labels that they had.

    A class is called by its place in ``names``, or by its number. Raises ``DataError``.
    """
    values = np.unique(np.concatenate([np.unique(part) for part in labels]))
    if values.size and values[0] < 0:
        raise DataError(f"Some images have the label {values[0]}, which stands for none: leave them out.")
    check_number(len(values))
    if names and values[-1] >= len(names):
        raise DataError(f"An image has the label {values[-1]}, but there are only {len(names)} class names: add them.")
    return class_names([names[value] if names else str(value) for value in values]), values
