"""Workers on this machine: no engine keeps a queue for them, so the runs themselves wait for a free slot."""

import os

from fashion_core.runs import processes
from fashion_core.runs.launchers.base import Task
from fashion_core.runs.processes import ProcessId


def start(task: Task) -> ProcessId:
    """Start a worker that outlives this process. Raises ``DiskError`` about its log, ``WorkerError``."""
    return processes.start_detached(task.command, task.log, {**os.environ, **task.variables})
