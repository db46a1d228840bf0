"""Whether a process that can't be looked up still lives, by what it keeps writing."""

import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from fashion_core.runs.processes import ProcessId

SILENCE_SECONDS: Final = 60.0
"""How long a worker on another machine may write nothing before its run counts as lost."""
_MOST = 4096


class Heartbeats:
    """The heartbeats seen by this process, and when each of them changed last.

    Another machine's clock may be wrong, and this one may be set: once a heartbeat was seen, only its changes count.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[Path, ProcessId], tuple[float, float]] = OrderedDict()

    def is_beating(self, folder: Path, process: ProcessId, heartbeat: float) -> bool:
        """Whether ``heartbeat``, in seconds since 1970, is recent; by the clock where it is seen there first."""
        beat, changed = self._seen.get((folder, process)) or (heartbeat, self._by_the_clock(heartbeat))
        if beat != heartbeat:
            changed = time.monotonic()
        self._seen[folder, process] = heartbeat, changed
        self._seen.move_to_end((folder, process))
        while len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return time.monotonic() - changed < SILENCE_SECONDS

    @staticmethod
    def _by_the_clock(heartbeat: float) -> float:
        age = abs(time.time() - heartbeat)  # one from the future is no better than one as far in the past
        return time.monotonic() - age
