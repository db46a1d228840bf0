"""What adding a dataset found: how many images each class has, and everything that is not as people expect it."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from fashion_core import files
from fashion_core.config import explain
from fashion_core.data.description import Description, folder_of
from fashion_core.errors import DamagedFileError, printable

FILE: Final = "report.json"
Kind = Literal[
    "choice", "unreadable", "left out", "empty class", "one-sided class", "duplicates", "copies", "imbalance",
    "one class", "one size", "resized", "order",
]  # fmt: skip


class Finding(BaseModel):
    """One sentence; ``names`` are the first few files or classes that it is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    text: str
    names: tuple[Annotated[str, BeforeValidator(printable)], ...] = ()


class ClassCount(BaseModel):
    """How many images of a class there are on each side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    train: int
    test: int


class Report(BaseModel):
    """A dataset that was added, or would be: ``counts`` has a row for each class, in the order of the labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: Description
    counts: tuple[ClassCount, ...]
    findings: tuple[Finding, ...]


def read(name: str) -> Report | None:
    """The report of a dataset that was added, if it has one. Raises ``DamagedFileError``, ``DiskError``."""
    path = folder_of(name) / FILE
    if not path.is_file():
        return None
    try:
        return Report.model_validate_json(files.read_bytes(path))
    except ValidationError as error:
        raise DamagedFileError(path, explain(error)) from error
