"""What is launched, what an engine must be able to do, and what it says of a job."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from fashion_core.runs import processes
from fashion_core.runs.schema import RunRecord


@dataclass(frozen=True)
class Resources:
    cpus: int
    gpus: int


def resources_of(record: RunRecord) -> Resources:
    """What a run's worker needs of the host that it is placed on, with all of its processes."""
    processes, is_on_gpu = record.config.processes, record.environment.device.startswith("cuda")
    return Resources(cpus=processes * record.environment.threads, gpus=processes * is_on_gpu)


@dataclass(frozen=True)
class Task:
    """A worker to be started, and the variables that it needs beside those of whoever starts it."""

    run_id: str
    folder: Path
    log: Path
    resources: Resources
    variables: Mapping[str, str]

    @property
    def command(self) -> list[str]:
        return processes.python_command("worker", self.run_id)


@dataclass(frozen=True)
class Answer:
    """What an engine says of a job; ``words`` are its own, such as "PENDING (Resources)".

    An *expired* job has waited longer than the engine keeps one: it has to be submitted again.
    """

    state: Literal["waiting", "running", "ended", "expired"]
    words: str


class Engine(Protocol):
    """Queues and places jobs on many machines. Each method raises ``EngineError`` where it can't be reached."""

    @property
    def title(self) -> str:
        """Its name for people."""

    def submit(self, task: Task) -> str:
        """Hand a worker over, and return the id of its job."""

    def cancel(self, job_id: str, run_id: str) -> None:
        """Take back a job that waits, if it is one of this run."""

    def answers(self) -> Mapping[str, Answer]:
        """Every job that it knows, by its id; those that ended long ago may be missing."""

    def printed(self, job_id: str, folder: Path) -> str:
        """What the engine itself wrote down of a job, for one that ended before its worker could write."""
