"""Workers that the queue starts as usual, but forked from a process that has imported torch: they train at once.

Each runs the real ``python -m fashion_core worker RUN`` with its environment and its log. What a test wants to happen
to it is an order that it takes along.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fashion_core import __main__
from tests.faults.operations import Operation, Result, Witness, watched
from tests.support.processes import ROOT


@dataclass
class Order(Witness):
    """Presses Stop before the n-th time that the worker looks for a stop request.

    Attributes:
        folder: the run's.
        stop_at: the n; 0 for never.
    """

    folder: Path
    stop_at: int = 0

    def __call__(self, operation: Operation, perform: Callable[[], Result]) -> Result:
        if operation.kind == "ask":
            self.stop_at -= 1
            if self.stop_at == 0:
                os.mknod(operation.path)  # not witnessed: somebody else presses
        return self.on(operation, perform)

    def on(self, operation: Operation, perform: Callable[[], Result]) -> Result:
        return perform()


@dataclass
class Note(Order):
    """Appends the label of each operation to the file ``notes``."""

    notes: Path = Path()

    def on(self, operation: Operation, perform: Callable[[], Result]) -> Result:
        descriptor = os.open(self.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{operation.label(self.folder)}\n".encode())
        os.close(descriptor)
        return perform()


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

    def __call__(self, command: list[str], **options: Any) -> Any:
        if "worker" not in command:
            return self._popen(command, **options)
        arguments = (command[3:], dict(options["env"]), options["stdout"].name, self.order)
        self.order = None
        self.latest = self._context.Process(target=be_worker, args=arguments)
        self.latest.start()
        return self.latest

    def kill(self) -> None:
        """SIGKILL for the latest worker, if it is there."""
        self.latest.kill()
        self.end()

    def end(self) -> None:
        """Wait until the latest worker is gone."""
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
        if found.latest and found.latest.is_alive():
            found.kill()


def be_worker(command: list[str], environment: dict[str, str], log: str, order: Order | None) -> None:
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv[1:] = command
    with watched(order.folder, order) if order else nullcontext():
        sys.exit(__main__.main())
