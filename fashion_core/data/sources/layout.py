"""Which class and which side each file of a folder or a zip belongs to, by its path alone."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fashion_core.data.report import Finding
from fashion_core.data.sources.base import HALF_OF_NAME, VALIDATION, Half
from fashion_core.data.sources.classes import check_images, class_names
from fashion_core.errors import DataError, counted

MOST_FILES: Final = 2_000_000  # a path takes about a hundred bytes of memory
NAMED: Final = 10
_HIDDEN: Final = re.compile(r"(^|/)(\.|__MACOSX/|(Thumbs\.db|desktop\.ini)$)", re.IGNORECASE)
_NO_CLASSES: Final = (
    "There are no class folders in {where}: put the images of each class into a folder of its name, at the top or "
    "under train/ and test/."
)
_ONE_FLAT: Final = (
    "{0}/ holds class folders and {1}/ holds none: sort the images in {1}/ into folders of the same names, or take "
    "{1}/ away."
)


@dataclass(frozen=True)
class Layout:
    """Files by their place among the paths: ``files`` has (place, side, label), in the order of the paths."""

    classes: tuple[str, ...]
    files: list[tuple[int, Half | None, int]]
    findings: tuple[Finding, ...]


def is_hidden(path: str) -> bool:
    """Whether a path is of what systems leave beside people's files."""
    return _HIDDEN.search(path) is not None


def lay_out(where: str, paths: Sequence[str], empty: Iterable[str] = ()) -> Layout:
    """Sort files, by their paths with slashes, into classes and sides; ``empty`` are folders without files.

    Raises ``DataError``.
    """
    check_images(len(paths))
    prefix = _wrapping(paths)
    inner = [path.removeprefix(prefix) if path.startswith(prefix) else "" for path in paths]
    sides = _sides(inner)
    given = sorted({name for path in inner if (name := _place(path, sides)[1])})
    if not given:
        raise DataError(_NO_CLASSES.format(where=where))
    labels = {name: label for label, name in enumerate(given)}
    placed = ((place, *_place(path, sides)) for place, path in enumerate(inner))
    files = [(place, half, labels[name]) for place, half, name in placed if name]
    findings = [*_outside(len(paths) - len(files)), *_validation(sides, inner), *_empty(empty)]
    return Layout(class_names(given), files, tuple(findings))


def _wrapping(paths: Sequence[str]) -> str:
    """The folders around everything that hold only one folder and perhaps a few files, as in most zips."""
    prefix = ""
    while True:
        tops = _folders(path.removeprefix(prefix) for path in paths if path.startswith(prefix))
        if len(tops) != 1:
            return prefix
        inner = f"{prefix}{tops.pop()}/"
        if not _folders(path.removeprefix(inner) for path in paths if path.startswith(inner)):
            return prefix  # only images lie in it: it is a class
        prefix = inner


def _folders(paths: Iterable[str]) -> set[str]:
    """The first parts of those paths that have several."""
    return {path.partition("/")[0] for path in paths if "/" in path}


def _sides(paths: Sequence[str]) -> dict[str, Half]:
    """The folders that are sides, if there are a training and a test side and each holds folders.

    Raises ``DataError`` where only some of them hold any: they would become classes, and nobody would be told.
    """
    found = {top: HALF_OF_NAME[top.lower()] for top in _folders(paths) if top.lower() in HALF_OF_NAME}
    if set(found.values()) != {"train", "test"}:
        return {}
    deep = found.keys() & {path.partition("/")[0] for path in paths if path.count("/") >= 2}
    if not deep:
        return {}
    if flat := found.keys() - deep:
        raise DataError(_ONE_FLAT.format(min(deep), min(flat)))
    tests = [top for top, half in found.items() if half == "test"]
    if any(top.lower() not in VALIDATION for top in tests):
        found = {top: half for top, half in found.items() if top.lower() not in VALIDATION}
    return found


def _place(path: str, sides: dict[str, Half]) -> tuple[Half | None, str]:
    """The side and the class of a file; no class for what lies beside."""
    if not sides:
        return None, path.partition("/")[0] if "/" in path else ""
    top, _, rest = path.partition("/")
    return sides.get(top), rest.partition("/")[0] if top in sides and "/" in rest else ""


def _outside(count: int) -> list[Finding]:
    one = "{count} file lies in no class folder and is left out."
    many = "{count:,} files lie in no class folder and are left out."
    return [Finding(kind="left out", text=counted(count, one, many))] if count else []


def _validation(sides: dict[str, Half], paths: Sequence[str]) -> list[Finding]:
    tops = _folders(paths) if sides else set()
    left = sorted(top for top in tops - sides.keys() if top.lower() in VALIDATION)
    text = "The validation images are left out: only training and test images are used."
    return [Finding(kind="left out", text=text, names=tuple(left))] if left else []


def _empty(folders: Iterable[str]) -> list[Finding]:
    if not (names := sorted(folders)):
        return []
    one, many = "{count} folder is empty and is no class.", "{count:,} folders are empty and are no classes."
    return [Finding(kind="empty class", text=counted(len(names), one, many), names=tuple(names[:NAMED]))]
