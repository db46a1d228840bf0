"""The small JSON files of a run folder, as types: each is checked when it is read."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fashion_core.config import TrainConfig
from fashion_core.processes import ProcessId

State = Literal["queued", "running", "stopping", "stopped", "finished", "failed", "lost", "imported"]
ACTIVE_STATES: frozenset[State] = frozenset({"running", "stopping"})
UNDER_WAY_STATES: frozenset[State] = ACTIVE_STATES | {"queued"}
CONTINUABLE_STATES: frozenset[State] = frozenset({"stopped", "failed", "lost"})

SavedFormat = Literal["checkpoint", "partial", "weights", "model", "lightning", "safetensors", "pt2"]
Reason = Literal["epoch", "stop", "end", "import"]
ExportFormat = Literal["weights", "model", "checkpoint", "safetensors", "pt2"]
EXPORT_NAMES: dict[ExportFormat, str] = {
    "weights": "model_weights.pth",
    "model": "model.pth",
    "checkpoint": "checkpoint.pth",
    "safetensors": "model.safetensors",
    "pt2": "model.pt2",
}
"""What an exported file is called, where nobody says."""


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parent(_Stored):
    """The checkpoint that a run was resumed from."""

    run: str
    epoch: int


class Environment(_Stored):
    """What a run computes with; with the same one it computes the same bits."""

    python: str
    torch: str
    device: str
    threads: int


class Source(_Stored):
    """The file from outside that a run was imported from: the name it had, and the SHA-256 of its bytes."""

    name: str
    format: str
    sha256: str


class RunRecord(_Stored):
    """``run.json``: what was asked, written once."""

    id: str
    created: datetime
    config: TrainConfig
    parent: Parent | None
    environment: Environment
    source: Source | None = None


class Labels(_Stored):
    """``labels.json``: what people may change later."""

    name: str
    notes: str = ""
    tags: tuple[str, ...] = ()


class Status(_Stored):
    """``status.json``: where the run stands, as its writer last said.

    ``heartbeat`` and ``queued_at`` are seconds since 1970; ``epoch`` and ``batch`` count from 0 and name the next
    batch to train; ``images_per_second`` is the rate of the last few batches.
    """

    state: State
    queued_at: float
    heartbeat: float
    process: ProcessId | None = None
    phase: Literal["starting", "training", "testing", "saving"] | None = None
    epoch: int = 0
    batch: int = 0
    images_per_second: float | None = None
    error: str | None = None


class Facts(_Stored):
    """The facts of one saved file, written after it: with them a file is listed, without them it is not."""

    format: SavedFormat
    sha256: str
    bytes: int
    epoch: int
    loss: float | None
    accuracy: float | None
    seconds: float
    created: datetime
    why: Reason


class Mark(_Stored):
    """What ``verify`` found about one saved file; it says nothing about a file written after ``checked``."""

    checked: datetime
    reason: str | None


class Marks(_Stored):
    """``verified.json``: the last mark of each saved file, by its path below the run folder."""

    files: dict[str, Mark] = {}
