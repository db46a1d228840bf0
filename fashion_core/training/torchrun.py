"""torchrun, torch's elastic launcher: it starts the processes that train one run, and restarts them when one dies.

Source: https://docs.pytorch.org/docs/stable/elastic/run.html
"""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Never

import psutil

from fashion_core import files
from fashion_core.config import variable
from fashion_core.errors import WorkerError
from fashion_core.runs.processes import TORCHRUN_VARIABLES
from fashion_core.runs.run import Run

RESTARTS: Final = 3
STORE_FILE: Final = "FASHION_PROCESSES"  # the variable that names the file in which processes of one host meet
_DIED: Final = "A process of this run has died {times} times: read its log for why, then continue it."


class ProcessLostError(Exception):
    """Another of the processes that train one run is gone, without a word: torchrun restarts all of them."""


def has_started_this() -> bool:
    """Whether torchrun, or what sets its variables, has started this process as one of several."""
    return all(map(variable, TORCHRUN_VARIABLES))


def leads() -> bool:
    """Whether this process is the one of several that writes and speaks."""
    return variable("RANK") == "0"


def speaks() -> bool:
    """Whether this process is the one that says on its host why all of them end."""
    return variable("LOCAL_RANK") == "0"


def command(run_id: str) -> str:
    """What starts the processes of a run on each of several hosts, for people to fill in."""
    python = shlex.quote(sys.executable)
    return (
        f"TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 {python} -m torch.distributed.run --nnodes=HOSTS "
        f"--nproc-per-node=PER_HOST --max-restarts={RESTARTS} --rdzv-backend=c10d --rdzv-endpoint=HOST:29400 "
        f"--rdzv-id={run_id} -m fashion_core continue {run_id}"
    )


def leave(status: int) -> Never:
    """End this process, which torchrun has started, without Python's own exit.

    Threads of torch's that are still ending would abort one in ten there, and torchrun would restart all for nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def launch(run: Run) -> None:
    """Start the processes that a run asks for and wait for their end. Raises ``WorkerError`` if they keep dying."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    size = [f"--nproc-per-node={run.record.config.processes}", f"--max-restarts={RESTARTS}"]
    threads = str(run.record.environment.threads)
    try:
        with files.scratch_folder(run.path) as folder, _variables(OMP_NUM_THREADS=threads, **_store_in(folder)):
            place = ["--rdzv-backend=c10d", f"--rdzv-endpoint={folder / 'torchrun'}", "--rdzv-conf=store_type=file"]
            torchrun.main([*place, "--local-addr=127.0.0.1", *size, "-m", "fashion_core", "worker", run.id])
    except SignalException:
        return  # it has passed the signal on, and they have stopped together
    except ChildFailedError as error:
        raise WorkerError(_DIED.format(times=RESTARTS + 1)) from error


def _store_in(folder: Path) -> dict[str, str]:
    """They meet in files of this user: torch's own store would listen on all networks, and unpickle what it is sent."""
    return {STORE_FILE: str(folder / "processes"), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


@contextmanager
def _variables(**more: str) -> Iterator[None]:
    """What the processes find set, in the block alone: the next run of the queue inherits nothing of it."""
    before, loopback = dict(os.environ), "lo" if psutil.LINUX else "lo0"
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):  # whatever this machine's name leads to
        more[name] = variable(name) or loopback
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
