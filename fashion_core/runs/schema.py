"""The JSON files of a run folder: their fields, and how they are read, checked and cached."""

import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from fashion_core import files
from fashion_core.cache import MOST_RUNS, Cache, stamp
from fashion_core.config import MAX_NAME, MAX_SEEDS, TrainConfig, explain
from fashion_core.data.description import BUILT_IN, Description, images_here, images_label, images_of
from fashion_core.errors import ConfigError, DamagedFileError, DataError, cut_middle, is_one_line
from fashion_core.runs.processes import ProcessId

State = Literal["queued", "running", "stopping", "stopped", "finished", "failed", "lost", "imported"]
ACTIVE_STATES: frozenset[State] = frozenset({"running", "stopping"})
UNDER_WAY_STATES: frozenset[State] = ACTIVE_STATES | {"queued"}
CONTINUABLE_STATES: frozenset[State] = frozenset({"stopped", "failed", "lost"})

SavedFormat = Literal["checkpoint", "partial", "weights", "model", "lightning", "safetensors", "pt2"]
VerdictKind = Literal["exact", "approximate", "weights only", "transfer", "not usable", "damaged"]
Reason = Literal["epoch", "stop", "end", "import"]
ExportFormat = Literal["weights", "model", "checkpoint", "safetensors", "pt2"]
EXPORT_NAMES: dict[ExportFormat, str] = {
    "weights": "model_weights.pth",
    "model": "model.pth",
    "checkpoint": "checkpoint.pth",
    "safetensors": "model.safetensors",
    "pt2": "model.pt2",
}

NOT_SET: Final = "not set"


def _check_tensor_name(name: str) -> str:
    if not is_one_line(name):
        raise ValueError("should be one line of printable characters")
    return name


_Word = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,200}$")]  # printable ASCII: strangers' files may say it
_TensorName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_check_tensor_name)]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parent(_Stored):
    run: str
    epoch: int


class Message(_Stored):
    """What a page says in the language of its reader: the id of a text, and the values to put into it."""

    id: str
    values: dict[str, str | int | float] = {}


class Environment(_Stored):
    """What a run computes with: the same environment on the same kind of machine gives the same bits."""

    COMPARED: ClassVar = ("device", "threads", "torch", "mkl", "processor")

    python: _Word
    torch: _Word
    device: _Word
    processor: _Word | None = None  # the kind of CPU and its instructions, or the GPU; None if unknown
    threads: int = Field(ge=1)
    threads_open: bool = False  # whether its worker may still choose fewer, before the first step
    mkl: _Word | None = None  # its MKL_CBWR: in which order MKL adds; None without MKL, and from earlier versions

    def differences(self, after: "Environment") -> Iterator[Message]:
        """What rounds differently there, each as a reason why a resume is not exact."""
        both_on_cpu = self.device == after.device == "cpu"
        processors_known = self.processor and after.processor and self.device == after.device
        for name in self.COMPARED:
            old, now = (getattr(one, name) or NOT_SET for one in (self, after))
            is_asked = {"mkl": both_on_cpu, "processor": processors_known}.get(name, True)
            if is_asked and old != now:
                yield Message(id=name, values={"before": old, "after": now})


class Source(_Stored):
    """The file that a run was imported from, by the name that it had."""

    name: str
    format: str
    sha256: str
    # the settings of ``trained_on`` that neither the file nor a person said; earlier versions did not write which
    assumed: tuple[str, ...] = ("dataset", "pixels")


class Change(_Stored):
    before: str | int | float
    after: str | int | float


class Transfer(_Stored):
    """What a run took over from a checkpoint of another dataset, model or source: all its tensors but ``new`` ones."""

    kept: int = Field(ge=1)
    new: tuple[_TensorName, ...]
    left: tuple[_TensorName, ...]  # of the checkpoint, which the model has no place for
    same_parameters: bool  # whether an optimizer's state fits what is trained now


class Resumption(_Stored):
    """What was decided when a run was resumed, and what the page said before the click: ``verdict`` and ``reasons``.

    Earlier versions wrote ``reasons`` in words.
    """

    parent_name: str
    changes: dict[str, Change]
    verdict: VerdictKind
    reasons: tuple[Message | str, ...]
    group: str | None = None  # shared by runs that were resumed together
    transfer: Transfer | None = None


class Repeat(_Stored):
    """The place of a run among those that were started together and differ in nothing but the seed."""

    group: str
    index: int  # from 0, in the order of the seeds
    seeds: int  # how many were started


def check_seeds(seeds: int) -> None:
    """Raise ``ConfigError`` if nothing can be run with this many seeds."""
    if not 1 <= seeds <= MAX_SEEDS:
        raise ConfigError(f"Seeds should be from 1 to {MAX_SEEDS}, not {seeds}.")


def places_of(seeds: int) -> list[Repeat]:
    """The places of several runs in a new group."""
    group = secrets.token_hex(4)
    return [Repeat(group=group, index=index, seeds=seeds) for index in range(seeds)]


def seeded_name(title: str, seed: int) -> str:
    """The name of a run among those that differ in nothing but the seed; a long title is cut in the middle."""
    end = f", seed {seed}"
    return cut_middle(title, MAX_NAME - len(end)) + end


class LoadCheck(_Stored):
    """``loaded.json``: what a resumed run measured right after loading its parent's checkpoint, before it trains."""

    loss_last: float | None  # as the checkpoint says
    loss_check: float  # as measured: the mean over the test images
    accuracy: float
    standard_error: float  # of that mean
    comparable: bool  # whether both losses are of the same images, scaled in the same way
    optimizer: Literal["loaded", "fresh"]
    losses_sha256: str | None = None  # of ``loaded.losses``


class RunRecord(_Stored):
    """``run.json``: what was asked. Nothing in it changes but the threads, before the first step."""

    id: str
    created: datetime
    config: TrainConfig
    parent: Parent | None
    environment: Environment
    packages: dict[_Word, _Word] = {}  # their versions; none of an import, and from earlier versions
    source: Source | None = None
    resumption: Resumption | None = None
    repeat: Repeat | None = None
    twin_of: str | None = None  # the run that it repeats, to compare with: it is not counted among the others
    dataset_sha256: _Sha256 | None = None  # of its images; None where nobody knows, as of an import
    frozen: tuple[_TensorName, ...] = ()  # of its model's ``state_dict``: what training leaves as it is
    model_sha256: _Sha256 | None = None  # of the source of a team's own model; None for this app's
    described: Description | None = None  # its dataset, where that was added; those built in have always been the same

    @property
    def trained_on(self) -> dict[str, str]:
        """The settings of ``TrainConfig.trained_on`` that are known, without those that were assumed on import."""
        assumed = self.source.assumed if self.source else ()
        return {name: value for name, value in self.config.trained_on.items() if name not in assumed}

    @property
    def description(self) -> Description:
        """What its dataset was when the run was made, whatever has become of that."""
        return self.described or BUILT_IN[self.config.dataset]

    @property
    def images(self) -> str:
        """Which images its losses are of: losses of different ones can't be compared."""
        described = self.described.sha256 if self.described else None
        return images_of(self.config.dataset, self.dataset_sha256 or described)

    @field_validator("frozen")
    @classmethod
    def _check_frozen(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len({*names}) < len(names):
            raise ValueError("it names a frozen tensor twice")
        return names

    @model_validator(mode="after")
    def _check_dataset(self) -> Self:
        name = self.config.dataset
        if name not in BUILT_IN and not (self.described and self.described.name == name and self.config.train_images):
            raise ValueError(f"it does not describe its dataset {name}")
        return self

    @property
    def is_transfer(self) -> bool:
        """Whether it was resumed onto another dataset or model, or one whose source has other layers by now."""
        return self.resumption is not None and self.resumption.verdict == "transfer"

    def check_images(self) -> None:
        """Raise ``DataError`` if its images are not those here: its epochs would be of two datasets."""
        if self.images != images_here(self.config.dataset):
            raise DataError(
                f"Run {self.id} was begun on {images_label(self.images)}; the images here are others, so it can't "
                "continue. Resume from a checkpoint of it, or start another run like it."
            )

    @property
    def first_epoch(self) -> int:
        return self.parent.epoch + 1 if self.parent else 0

    @property
    def span(self) -> range:
        """The epochs that the run trains, from its first batch to its end."""
        return range(self.first_epoch, self.config.epochs)


def epoch_text(epoch: int | None, span: range) -> str:
    """An epoch as pages and commands write it: its number and its place in its run, such as "epoch 7 (8 of 8)"."""
    if epoch is None:
        return f"0 of {len(span):,}"
    return f"epoch {epoch:,} ({epoch - span.start + 1:,} of {len(span):,})"


class Labels(_Stored):
    """``labels.json``: what people may change later."""

    name: str
    notes: str = ""
    tags: tuple[str, ...] = ()


class Job(_Stored):
    """What an engine on many machines calls a run's worker."""

    launcher: _Word  # as ``FASHION_LAUNCHER`` named it
    id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$")]
    user: _Word  # whose job it is: another user is told about their own alone
    submitted: float  # in seconds since 1970


class Status(_Stored):
    """``status.json``: where the run stands, as its writer last said; ``epoch`` and ``batch`` name the next batch."""

    state: State
    queued_at: float  # in seconds since 1970
    heartbeat: float
    process: ProcessId | None = None
    launcher: _Word | None = None  # in whose queue it waits, as ``FASHION_LAUNCHER`` said where it was queued
    job: Job | None = None  # from when it is handed to an engine until it is queued anew
    phase: Literal["starting", "loading", "training", "testing", "saving"] | None = None
    epoch: int = 0
    batch: int = 0
    images_per_second: float | None = None
    error: str | None = None
    diverged: bool = False  # whether the loss was not finite when it failed: the same steps end it again
    continued: int = 0  # how often it has continued in place
    restarts: int = 0  # how often its processes were restarted since then, as one of them had died
    began_at: tuple[int, int] | None = None  # its latest worker's first epoch and batch; None until it has loaded


class Drill(_Stored):
    """``drill.json``: where a crash drill killed the run's worker."""

    killed: float  # in seconds since 1970
    pid: int
    epoch: int
    batch: int
    continued: int = 0  # how often the run had continued before


class FileInfo(_Stored):
    """What is recorded of a saved file, written beside it once it is whole: only then is it listed."""

    format: SavedFormat
    sha256: str
    bytes: int
    epoch: int
    loss: float | None
    accuracy: float | None
    seconds: float
    created: datetime
    why: Reason


class FileVerification(_Stored):
    sha256: str
    reason: str | None  # what is wrong with the file, if anything


class Verification(_Stored):
    """``verified.json``: what ``verify`` found last, by each file's path below the run folder."""

    files: dict[str, FileVerification] = {}


Record = TypeVar("Record", bound=BaseModel)
# What earlier versions wrote at the end of each file. It is not compared: people may edit these files.
_OLD_CHECKSUM = re.compile(rb',\s*"crc32":\s*"[0-9a-f]{8}"\s*}\s*$')
_records: Cache[BaseModel] = Cache(5 * MOST_RUNS)


def read_record(path: Path | str, kind: type[Record]) -> Record:
    """Read a JSON file and check it against its schema. Raises ``DamagedFileError`` or ``DiskError``."""
    data = files.read_bytes(path)
    if b'"crc32"' in data:
        data = _OLD_CHECKSUM.sub(b"}", data)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        kinds = {"json_invalid": "it is not JSON", "model_type": "it is not a JSON object"}
        reason = kinds.get(error.errors()[0]["type"]) or explain(error).rstrip(".")
        raise DamagedFileError(Path(path), reason) from error


def cached_record(path: Path, kind: type[Record]) -> Record:
    """Return what ``read_record`` does, read again only when the file has changed. Raises the same."""
    value = _records.get(path, stamp(path), lambda: read_record(path, kind))
    assert isinstance(value, kind)
    return value
