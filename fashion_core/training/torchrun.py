"""torchrun, torch's elastic launcher: it starts the processes that train one run, and restarts them when one dies.

Source: https://docs.pytorch.org/docs/stable/elastic/run.html
"""

import os
from typing import Final

import psutil

from fashion_core.config import variable
from fashion_core.errors import WorkerError
from fashion_core.runs.run import Run

RESTARTS: Final = 3
_DIED: Final = "A process of this run has died {times} times: read its log for why, then continue it."
_VARIABLES: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class ProcessLostError(Exception):
    """Another of the processes that train one run is gone, without a word: torchrun restarts all of them."""


def has_started_this() -> bool:
    """Whether torchrun, or what sets its variables, has started this process as one of several."""
    return all(map(variable, _VARIABLES))


def leads() -> bool:
    """Whether this process is the one of several that writes and speaks."""
    return variable("RANK") == "0"


def launch(run: Run) -> None:
    """Start the processes that a run asks for and wait for their end. Raises ``WorkerError`` if they keep dying."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    loopback = "lo" if psutil.LINUX else "lo0"
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):  # whatever this machine's name leads to
        os.environ[name] = variable(name) or loopback
    # Otherwise a restarted process may find in a shared store where one that has died was listening.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ["OMP_NUM_THREADS"] = str(run.record.environment.threads)
    meeting = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    size = [f"--nproc-per-node={run.record.config.processes}", f"--max-restarts={RESTARTS}"]
    try:
        torchrun.main([*meeting, *size, "-m", "fashion_core", "worker", run.id])
    except SignalException:
        return  # it has passed the signal on, and they have stopped together
    except ChildFailedError as error:
        raise WorkerError(_DIED.format(times=RESTARTS + 1)) from error
