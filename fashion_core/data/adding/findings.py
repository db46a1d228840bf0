"""What is told about the images of a dataset: everything that is not as people expect it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fashion_core.config import Shape
from fashion_core.data.adding.decode import PARTS, Decoded, Result, Unreadable
from fashion_core.data.report import ClassCount, Finding
from fashion_core.data.sources.layout import NAMED
from fashion_core.errors import DataError, counted, printable

_IMBALANCE: Final = 10  # how many times as many images the largest class has as the smallest
_MOST_SHARE: Final = 0.5  # of one class among several
_ONE_SIZE: Final = 0.9  # of the images, where others have another one


@dataclass
class Tally:
    """What is counted while images are decoded."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    unreadable: int = 0
    is_split: bool = False  # here, as the source has no sides
    named: list[Unreadable] = field(default_factory=list)  # the first few

    def add(self, results: Sequence[Result]) -> list[Decoded]:
        """Count these, and return those that were decoded."""
        failed = [result for result in results if isinstance(result, Unreadable)]
        self.unreadable += len(failed)
        self.named += failed[: NAMED - len(self.named)]
        read = [result for result in results if isinstance(result, Decoded)]
        self.sizes.update(result.size for result in read)
        self.is_split |= any(result.is_split for result in read)
        return read

    def check(self) -> None:
        """Raise ``DataError`` if more than half can't be read."""
        total = self.unreadable + self.sizes.total()
        if self.unreadable * 2 > total:
            first = self.named[0]
            raise DataError(
                f"{self.unreadable:,} of {total:,} images can't be read, more than half; the first is "
                f"{printable(first.name)}: {first.reason}"
            )


def of_files(tally: Tally, shape: Shape) -> Iterator[Finding]:
    """What the files themselves show."""
    if tally.is_split:
        side = f"about one in {PARTS} is a test image, always the same ones"
        yield Finding(kind="choice", text=f"The images are not sorted into training and test images: {side}.")
    if tally.unreadable:
        one = "{count} file can't be read and is left out; it says: {reason}"
        many = "{count:,} files can't be read and are left out; the first says: {reason}"
        text = counted(tally.unreadable, one, many, reason=tally.named[0].reason)
        yield Finding(kind="unreadable", text=text, names=tuple(failed.name for failed in tally.named))
    total, same = tally.sizes.total(), tally.sizes[shape.width, shape.height]
    if same < total:
        text = f"{total - same:,} of {total:,} images are resized to {shape.width} × {shape.height} pixels."
        yield Finding(kind="resized", text=text)
    (width, height), most = tally.sizes.most_common(1)[0]
    if _ONE_SIZE * total <= most < total:
        text = f"{most:,} of {total:,} images are {width} × {height} pixels; look at the others, they may be strays."
        yield Finding(kind="one size", text=text)


def of_classes(counts: Sequence[ClassCount]) -> Iterator[Finding]:
    """What the numbers of images show."""
    for side, missing in (
        ("training", [row.name for row in counts if not row.train]),
        ("test", [row.name for row in counts if not row.test]),
    ):
        if missing:
            one, many = "{count} class has no {side} images.", "{count:,} classes have no {side} images."
            text = counted(len(missing), one, many, side=side)
            yield Finding(kind="one-sided class", text=text, names=tuple(missing[:NAMED]))
    ranked = sorted(counts, key=lambda row: row.train + row.test)
    least, most = ranked[0], ranked[-1]
    fewest, largest = least.train + least.test, most.train + most.test
    if largest > _IMBALANCE * fewest:
        text = f"{most.name} has {largest:,} images and {least.name} {fewest:,}: more than {_IMBALANCE} times as many."
        yield Finding(kind="imbalance", text=text, names=(most.name, least.name))
    share = largest / sum(row.train + row.test for row in counts)
    if share > _MOST_SHARE and len(counts) > 2:
        text = f"{100 * share:.0f} % of all images are {most.name}: a model that always says so is as often right."
        yield Finding(kind="one class", text=text, names=(most.name,))


def of_duplicates(train: NDArray[np.uint64], test: NDArray[np.uint64]) -> Iterator[Finding]:
    """What has the same pixels: on both sides, where it makes test results look better than they are, and on one."""
    if shared := int(np.isin(test, train).sum()):
        one = "{count} test image is among the training images too, pixel for pixel."
        many = "{count:,} test images are among the training images too, pixel for pixel."
        yield Finding(kind="duplicates", text=counted(shared, one, many))
    for side, hashes in (("training", train), ("test", test)):
        if copies := len(hashes) - len(np.unique(hashes)):
            one = "{count} {side} image is a copy of another one, pixel for pixel."
            many = "{count:,} {side} images are copies of others, pixel for pixel."
            yield Finding(kind="copies", text=counted(copies, one, many, side=side))
