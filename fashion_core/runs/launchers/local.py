"""Workers on this machine: no engine keeps a queue for them, so the runs themselves wait for a free slot."""

import os

from fashion_core.runs import processes
from fashion_core.runs.launchers.base import Task
from fashion_core.runs.processes import ProcessId


def start(task: Task) -> ProcessId:
    """Start a worker that outlives this process. Raises ``DiskError`` about its log, ``WorkerError``.

    It is none of the processes that torchrun may have started this one as.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in processes.TORCHRUN_VARIABLES}
    return processes.start_detached(task.command, task.log, {**inherited, **task.variables})
