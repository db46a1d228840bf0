"""What a dataset is: its shape, classes, counts and digest, in ``dataset.json`` beside its arrays.

Nothing else knows a size, a class name or a mean by heart.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from fashion_core import files
from fashion_core.cache import Cache, stamp
from fashion_core.config import (
    CLASS_NAMES,
    DATASET_LABELS,
    DATASET_NAME,
    FASHION,
    LONGEST_DATASET_NAME,
    MAX_NAME,
    MOST_IMAGES,
    PIXEL_MEAN,
    PIXEL_STD,
    SIDE,
    TRAINING_IMAGES,
    Fit,
    Shape,
    TrainConfig,
    explain,
    parse_config,
)
from fashion_core.data import fashion_mnist
from fashion_core.errors import ConfigError, DamagedFileError, DataError, DiskError, is_one_line

FILE: Final = "dataset.json"
LEAST_SIDE: Final = 8  # pixels: what is left of fewer is nothing, after two poolings
MOST_SIDE: Final = 256
MOST_CLASSES: Final = 1_000
_DIGITS: Final = 8  # of a digest, enough to tell a handful of them apart
_TEST_IMAGES: Final = {"synthetic": 2_000, "fashion-mnist": 10_000}
_WHERE_FROM: Final = {"synthetic": "drawn by this app", "fashion-mnist": "the official files of Zalando Research"}

_Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME, strip_whitespace=True)]
_Side = Annotated[int, Field(ge=LEAST_SIDE, le=MOST_SIDE)]


def checked(shape: Shape) -> Shape:
    """The same shape. Raises ``ValueError`` if no dataset can have it."""
    sides = all(LEAST_SIDE <= side <= MOST_SIDE for side in shape[1:3])
    if shape.channels not in (1, 3) or not sides or not 2 <= shape.classes <= MOST_CLASSES:
        raise ValueError(f"no dataset has the shape {shape}")
    return shape


class Description(BaseModel):
    """``dataset.json``: ``mean`` and ``std`` are of the training pixels, a number a channel, scaled to 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, StringConstraints(pattern=DATASET_NAME)]
    label: _Text
    channels: Literal[1, 3]
    height: _Side
    width: _Side
    classes: Annotated[tuple[_Text, ...], Field(min_length=2, max_length=MOST_CLASSES)]
    train: Annotated[int, Field(ge=1)]  # images
    test: Annotated[int, Field(ge=1)]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    # of ``digest_head`` and the bytes of ``ARRAYS``, in their order
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    source: str  # where it came from, for people
    fit: Fit = "pad"  # how pictures of another shape were made to fit, as those to predict should be

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise ValueError("mean and std should be a number for each channel, and no std 0")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have the same name")
        return self

    @property
    def is_from_elsewhere(self) -> bool:
        """Whether it may be of a dataset that was added somewhere else, and is shown in lines as it is."""
        is_text = all(map(is_one_line, (self.label, self.source, *self.classes)))
        return is_text and max(self.train, self.test) <= MOST_IMAGES and self.name not in BUILT_IN

    @property
    def shape(self) -> Shape:
        return Shape(self.channels, self.height, self.width, len(self.classes))

    @property
    def in_words(self) -> str:
        """Such as "Fashion-MNIST (28 × 28 grey, 10 classes)"."""
        kind = "grey" if self.channels == 1 else "colour"
        return f"{self.label} ({self.height} × {self.width} {kind}, {len(self.classes):,} classes)"


DIGESTS: Final = {
    "synthetic": "9a2570493187c6c592c08a1e689135f432a5a67b11470681bdf25f5c1a7e7152",
    "fashion-mnist": "2cbc59191665e1ba3f2494648f17edac5974f748ab89fb2ae05597d658161f54",
}
"""Of those built in; runs that record no digest were made with these."""

ARRAYS: Final = ("train_images.npy", "test_images.npy", "train_labels.npy", "test_labels.npy")
"""Images are (N, channels, height, width) uint8, labels (N,) uint16."""

BUILT_IN: Final = {
    name: Description(
        name=name,
        label=label,
        channels=1,
        height=SIDE,
        width=SIDE,
        classes=CLASS_NAMES,
        train=TRAINING_IMAGES[name],
        test=_TEST_IMAGES[name],
        mean=(PIXEL_MEAN,),
        std=(PIXEL_STD,),
        sha256=DIGESTS[name],
        source=_WHERE_FROM[name],
    )
    for name, label in DATASET_LABELS.items()
}

_known: Cache[Description] = Cache(256)


def folder_of(name: str) -> Path:
    """Where a dataset that was added lies."""
    return fashion_mnist.root() / name


def describe(name: str) -> Description:
    """The description of a dataset that is built in or was added. Raises ``DataError``, ``DamagedFileError``."""
    if found := BUILT_IN.get(name):
        return found
    path = folder_of(name) / FILE
    if not path.is_file():
        raise DataError(
            f"There is no dataset {name} here: choose one of {', '.join(names())}, or add it (again) with `data add`."
        )
    return _known.get(path, stamp(path), lambda: _read(path))


def resolved(config: TrainConfig) -> TrainConfig:
    """These settings with the number of images that they train on, for a dataset that was added.

    It stands in the settings from then on, whatever becomes of the dataset. Raises ``ConfigError``, ``DataError``.
    """
    if config.dataset in BUILT_IN:
        return config
    found = describe(config.dataset)
    try:
        config.check_train_images(found.label, found.train)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    return config if config.train_images else parse_config({**config.model_dump(), "train_images": found.train})


def _read(path: Path) -> Description:
    try:
        found = Description.model_validate_json(files.read_bytes(path))
    except ValidationError as error:
        raise DamagedFileError(path, explain(error)) from error
    if found.name != path.parent.name:
        raise DamagedFileError(path, f"it describes {found.name}")
    return found


def names() -> list[str]:
    """Every dataset that can be asked for: those built in, then those that were added, by name."""
    root = fashion_mnist.root()
    with files.disk_errors(root):
        added = sorted(path.parent.name for path in root.glob(f"*/{FILE}")) if root.is_dir() else []
    return [*BUILT_IN, *(name for name in added if name not in BUILT_IN and _can_be_asked_for(name))]


def shapes_here() -> list[Shape]:
    """The shapes of all datasets that can be asked for, each once; damaged ones are passed over."""
    found = [FASHION]
    for name in names():
        with suppress(DataError, DamagedFileError, DiskError):
            found.append(describe(name).shape)
    return list(dict.fromkeys(found))


def _can_be_asked_for(name: str) -> bool:
    """Whether settings can name it: people may put folders of any name there."""
    return re.fullmatch(DATASET_NAME, name) is not None and len(name) <= LONGEST_DATASET_NAME


def digest_head(shape: Shape, train: int, test: int) -> bytes:
    """What stands before the bytes of ``ARRAYS`` in the digest of a dataset that was added: how they are cut up."""
    return f"{shape.channels} {shape.height} {shape.width} {train} {test}\n".encode()


def images_of(name: str, sha256: str | None) -> str:
    """Which images a name and a digest stand for, whatever lies here now: equal for equal ones.

    It is the name alone for those built in, as they have always been; else it ends in the digest's first digits.
    """
    found, built_in = sha256 or DIGESTS.get(name, ""), BUILT_IN.get(name)
    return name if built_in and built_in.sha256 == found else f"{name}-{found[:_DIGITS]}"


def images_here(name: str) -> str:
    """Which images a dataset's name stands for here. Raises ``DataError``, ``DamagedFileError``."""
    return images_of(name, describe(name).sha256)


def images_label(images: str) -> str:
    """What ``images_of`` gives, or the name of a dataset, as people read it; other words as they are."""
    if found := _find(images):
        return found.label
    name, _, digits = images.rpartition("-")
    found = _find(name)
    if found and name not in BUILT_IN and found.sha256.startswith(digits):
        return found.label
    if found or re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", digits):
        return f"{found.label if found else name} (images {digits})"
    return images


def _find(name: str) -> Description | None:
    if name in BUILT_IN or re.match(DATASET_NAME, name):
        with suppress(DataError, DamagedFileError, DiskError):
            return describe(name)
    return None
