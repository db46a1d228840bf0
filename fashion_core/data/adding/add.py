"""From a source to a dataset that is whole: read, decode, write, tell, and give it its name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fashion_core import files
from fashion_core.config import Shape
from fashion_core.data import description, report
from fashion_core.data.adding import arrays, findings, place
from fashion_core.data.adding.arrays import Facts, Labels, Pile
from fashion_core.data.adding.decode import decoded
from fashion_core.data.adding.findings import Tally
from fashion_core.data.adding.survey import survey
from fashion_core.data.description import Description
from fashion_core.data.report import ClassCount, Finding, Report
from fashion_core.data.request import AddRequest, check, label_of
from fashion_core.data.sources import Source, open_source
from fashion_core.data.sources.base import Numbers
from fashion_core.data.sources.classes import check_images, check_number
from fashion_core.errors import DataError, printable

Progress = Callable[[int, int], object]  # images done, images in all


def _ignore(_done: int, _total: int) -> None:
    pass


@dataclass(frozen=True)
class Prepared:
    """A dataset that is whole and has no name yet; ``folder`` holds its arrays until the block is left."""

    report: Report
    folder: Path

    def keep(self) -> Report:
        """Give it its name. Raises ``DataError`` if somebody took it meanwhile, ``DiskError``."""
        place.keep(self.folder.parent, self.report.description.name)
        return self.report


def add(source: str, request: AddRequest, progress: Progress = _ignore) -> Report:
    """Add a dataset: all of it, or, where anything fails, nothing.

    Args:
        source: a path, or the name of one of torchvision's sets.
        request: its name, size and colours.
        progress: called with the images done and the images in all.

    Raises:
        DataError: the source holds no dataset, or the name is taken.
        DiskError: a file can't be read or written.
    """
    with prepared(source, request, progress) as ready:
        return ready.keep()


@contextmanager
def prepared(source: str, request: AddRequest, progress: Progress = _ignore) -> Iterator[Prepared]:
    """Make a dataset that nobody sees until it is kept."""
    check(request)
    with place.workshop() as folder:
        with _told_as(source, request), open_source(source, folder) as opened:
            found = _make(replace(opened, kind=_as_called(opened.kind, source, request)), request, folder, progress)
        made = folder / place.MADE
        files.write_json(made / description.FILE, found.description.model_dump(mode="json"), durable=False)
        files.write_json(made / report.FILE, found.model_dump(mode="json"), durable=False)
        yield Prepared(found, made)


@contextmanager
def _told_as(source: str, request: AddRequest) -> Iterator[None]:
    """Tell what is wrong with the source by the name that people call it."""
    try:
        yield
    except DataError as error:
        raise DataError(_as_called(str(error), source, request)) from error


def _as_called(text: str, source: str, request: AddRequest) -> str:
    return text.replace(Path(source).name, printable(request.called)) if request.called else text


def _make(source: Source, request: AddRequest, folder: Path, progress: Progress) -> Report:
    check_images(source.count)
    shape, told = survey(source, request)
    piles, tally = _fill(source, request, shape, folder, progress)
    tally.check()
    classes, new = _used(source.classes, piles)
    counts = _counts(classes, piles, new)
    _check_sides(piles)
    told += [*source.findings, *_unused(source.classes, classes), *findings.of_files(tally, shape)]
    told += [*findings.of_classes(counts), *findings.of_duplicates(piles[0].hashes, piles[1].hashes), *_order(piles)]
    orders = _order_of(piles[0]), _order_of(piles[1])
    facts = arrays.write(folder / place.MADE, shape, piles, orders, new)
    described = _describe(request, shape, classes, piles, facts, source.kind)
    return Report(description=described, counts=counts, findings=tuple(told))


def _fill(
    source: Source, request: AddRequest, shape: Shape, folder: Path, progress: Progress
) -> tuple[tuple[Pile, Pile], Tally]:
    size = shape.channels * shape.height * shape.width
    train, test, tally, done = Pile(folder / "train", size), Pile(folder / "test", size), Tally(), 0
    for results in decoded(source.items(), shape, request.fit):
        read = tally.add(results)
        train.append([image for image in read if image.half == "train"])
        test.append([image for image in read if image.half == "test"])
        done += len(results)
        progress(done, source.count)
    return (train, test), tally


def _used(classes: tuple[str, ...], piles: tuple[Pile, Pile]) -> tuple[tuple[str, ...], Labels]:
    """The classes that have images, and the new label of each old one."""
    count = sum(np.bincount(pile.labels, minlength=len(classes)) for pile in piles)
    used = np.asarray(count) > 0
    names = tuple(name for name, is_used in zip(classes, used, strict=True) if is_used)
    check_number(len(names))
    return names, (np.cumsum(used) - 1).astype(np.uint16)


def _counts(classes: tuple[str, ...], piles: tuple[Pile, Pile], new: Labels) -> tuple[ClassCount, ...]:
    train, test = (np.bincount(new[pile.labels], minlength=len(classes)).tolist() for pile in piles)
    return tuple(ClassCount(name=name, train=a, test=b) for name, a, b in zip(classes, train, test, strict=True))


def _check_sides(piles: tuple[Pile, Pile]) -> None:
    for side, pile in zip(("training", "test"), piles, strict=True):
        if not len(pile.labels):
            raise DataError(f"There are no {side} images: add more, or sort them into train/ and test/ yourself.")


def _unused(given: tuple[str, ...], used: tuple[str, ...]) -> Iterator[Finding]:
    if empty := [name for name in given if name not in used]:
        text = "Of some classes no image can be read: they are left out."
        yield Finding(kind="empty class", text=text, names=tuple(empty[:10]))


def _order_of(pile: Pile) -> Numbers:
    return arrays.mixed(len(pile.labels)) if pile.is_sorted else np.arange(len(pile.labels))


def _order(piles: tuple[Pile, Pile]) -> Iterator[Finding]:
    if any(pile.is_sorted for pile in piles):
        yield Finding(kind="order", text="The images were sorted by class: they are kept in a mixed order.")


def _describe(
    request: AddRequest, shape: Shape, classes: tuple[str, ...], piles: tuple[Pile, Pile], facts: Facts, kind: str
) -> Description:
    train, test = (len(pile.labels) for pile in piles)
    return Description(
        name=request.name,
        label=label_of(request),
        channels=3 if shape.channels == 3 else 1,
        height=shape.height,
        width=shape.width,
        classes=classes,
        train=train,
        test=test,
        mean=facts.mean,
        std=facts.std,
        sha256=facts.sha256,
        source=printable(kind),
        fit=request.fit,
    )
