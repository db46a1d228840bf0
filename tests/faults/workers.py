"""Workers that the queue starts as usual, but forked from a process that has imported torch: they train at once.

Each runs the real ``python -m fashion_core worker RUN`` with its environment and its log. What a test wants to happen
to it is an order that it takes along.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fashion_core import __main__
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.faults.lives import continue_run
from tests.faults.operations import Operation, Perform, watched
from tests.support.processes import ROOT


@dataclass
class Order:
    """Presses Stop before the n-th time that the worker looks for a stop request.

    Attributes:
        folder: the run's.
        stop_at: the n; 0 for never.
    """

    folder: Path
    stop_at: int = 0

    def __call__(self, operation: Operation, perform: Perform) -> Any:
        self.stop_at -= operation.kind == "ask"
        if self.stop_at == 0 and operation.kind == "ask":
            os.mknod(operation.path)  # not witnessed: somebody else presses
        return self.on(operation, perform)

    def on(self, operation: Operation, perform: Perform) -> Any:
        return perform()


@dataclass
class Note(Order):
    notes: Path = Path()

    def on(self, operation: Operation, perform: Perform) -> Any:
        with self.notes.open("a") as file:
            file.write(f"{operation.label(self.folder)}\n")
        return perform()


@dataclass
class At(Order):
    """At the n-th operation with this label, end the worker, or mark that it came and raise an error."""

    label: str = ""
    nth: int = 1
    error: int = 0

    def on(self, operation: Operation, perform: Perform) -> Any:
        if operation.label(self.folder) == self.label:
            self.nth -= 1
            if self.nth == 0 and not self.error:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.nth == 0:
                self.mark.touch()
                raise OSError(self.error, os.strerror(self.error), str(operation.path))
        return perform()

    @property
    def mark(self) -> Path:
        return self.folder.with_suffix(".refused")


class Nursery:
    """Replaces ``subprocess.Popen``. ``order`` is for the next worker; ``latest`` is the last one started."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            [__name__, "fashion_core.training.trainer", "fashion_core.training.worker"]
        )
        self._popen = subprocess.Popen
        self.order: Order | None = None
        self.latest: Any = None
        self.alive: list[Any] = []

    def __call__(self, command: list[str], **options: Any) -> Any:
        if "worker" not in command:
            return self._popen(command, **options)
        arguments = (command[3:], dict(options["env"]), options["stdout"].name, self.order)
        self.order = None
        self.latest = self._context.Process(target=be_worker, args=arguments)
        self.latest.start()
        self.alive = [worker for worker in [*self.alive, self.latest] if worker.is_alive()]
        return self.latest

    def live(self, run: Run, order: Order | None = None) -> None:
        self.order = order
        continue_run(RunStore(run.path.parent), run)
        self.end()

    def kill(self) -> None:
        self.latest.kill()
        self.end()

    def end(self) -> None:
        self.latest.join(60)
        assert self.latest.exitcode is not None, "the worker does not end"

    @property
    def was_killed(self) -> bool:
        return bool(self.latest.exitcode == -signal.SIGKILL)


@contextmanager
def nursery() -> Iterator[Nursery]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        found = Nursery()
        patch.setattr(subprocess, "Popen", found)
        yield found
        for worker in found.alive:
            if worker.is_alive():
                worker.kill()


def be_worker(command: list[str], environment: dict[str, str], log: str, order: Order | None) -> None:
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv[1:] = command
    with watched(order.folder, order) if order else nullcontext():
        sys.exit(__main__.main())
