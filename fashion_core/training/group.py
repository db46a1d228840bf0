"""The processes that train one run together, and what they say to each other.

torchrun starts them, restarts all of them when one dies, and tells each by variables who it is; ``torchrun`` asks for
that. A run that one process trains has a group of one, which says nothing.
"""

import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from fashion_core import files
from fashion_core.config import variable
from fashion_core.errors import WorkerError
from fashion_core.training import torchrun
from fashion_core.training.torchrun import ProcessLostError

SILENCE: Final = timedelta(minutes=5)  # for which a process may keep the others waiting
MEETING_SECONDS: Final = 0.05  # between two moments at which the processes agree on what to do next
LEAVING_TIME: Final = timedelta(seconds=10)
_ENDED: Final = "ended"  # the key under which a process leaves the sentence that ends all of them
Value = TypeVar("Value")


@dataclass(frozen=True)
class Group:
    """This process among those that train one run; ``rank`` 0 alone writes the run folder."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those on this machine
    restarts: int = 0  # how often torchrun has restarted the group
    store: Any = None  # keys and values; served by torchrun, by the leader or from a file

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """The device of this process: on GPUs each process has its own."""
        return chosen if self.size == 1 or chosen.type != "cuda" else torch.device("cuda", self.local_rank)

    def share(self, count: int) -> slice:
        """Which of so many images or batches are this process's; those of all processes cover them in order."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Replace the tensor by the sum of all processes' tensors, and return it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, one: bool) -> bool:
        """Whether it is so in any process."""
        return one if self.size == 1 else bool(self.sum(torch.tensor(int(one))))

    def gather(self, tensor: Tensor) -> Tensor:
        """All processes' tensors, on the CPU and of any length, one after the other."""
        if self.size == 1:
            return tensor
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, tensor)
        return torch.cat(parts)

    def of_leader(self, value: Value) -> Value:
        """What the process with rank 0 passes to this."""
        if self.size == 1:
            return value
        values: list[Any] = [value]
        dist.broadcast_object_list(values)
        received: Value = values[0]
        return received

    def end_others(self, sentence: str) -> None:
        """Let the other processes end as this one does, and say why."""
        if self.store:
            self.store.set(_ENDED, sentence)

    @contextmanager
    def failures_explained(self) -> Iterator[None]:
        """Raise ``WorkerError`` with what another process said as it ended, or ``ProcessLostError`` if one has died.

        torch raises a plain ``RuntimeError`` where another process is gone, but also for much else: the log has it all.
        """
        try:
            yield
        except RuntimeError as error:
            is_plain = type(error) is RuntimeError or isinstance(error, dist.DistError)
            if self.store is None or not is_plain or files.refusal(error):
                raise
            if sentence := self._told():
                raise WorkerError(sentence) from error
            traceback.print_exc()
            raise ProcessLostError(str(error).strip().partition("\n")[0]) from error

    def leave(self) -> None:
        """Go; but the leader, which may serve the store, waits until the others have read why it ended."""
        with suppress(RuntimeError):  # the store is gone, or somebody takes too long
            if not self.leads:
                self.store.set(f"left {self.rank}", "")
            elif self.store.check([_ENDED]):
                self.store.wait([f"left {rank}" for rank in range(1, self.size)], LEAVING_TIME)

    def _told(self) -> str:
        with suppress(RuntimeError):  # the store may be gone too
            if self.store.check([_ENDED]):
                said: str = self.store.get(_ENDED).decode()
                return said
        return ""


ALONE: Final = Group()


def _store(rank: int, size: int) -> Any:
    """Where the processes find each other: in a file where torchrun was started here, which no network reaches."""
    if file := variable(torchrun.STORE_FILE):
        return dist.FileStore(f"{file}-{os.environ['TORCHELASTIC_RESTART_COUNT']}", size)  # type: ignore[attr-defined]
    serves = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # else torchrun does
    return dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=serves)  # type: ignore[attr-defined]


@contextmanager
def joined(cuda: bool) -> Iterator[Group]:
    """Join the group that torchrun has started this process for; leave it after the block.

    On GPUs NCCL sums the gradients; what the processes agree on never waits for a GPU.
    """
    rank, size, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if cuda:
        torch.cuda.set_device(local_rank)
    store, backend = _store(rank, size), "cpu:gloo,cuda:nccl" if cuda else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=SILENCE)
    group = Group(rank, size, local_rank, int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)), store)
    try:
        group.any(False)  # one that left before the others are connected would look as if it had died
        yield group
    finally:
        dist.destroy_process_group()  # whoever waits for this process gets an error, and looks for its sentence
        group.leave()


class Meetings:
    """When the processes agree on what to do next: alone after each batch, together some times a second.

    All of them ask about the same batches.
    """

    def __init__(self, group: Group, batch: int) -> None:
        self._group, self._batch, self._next = group, batch, batch
        self._time = time.perf_counter()

    def is_due(self, batch: int) -> bool:
        """Whether all processes meet before this batch of the epoch."""
        if batch < self._next:
            return False
        if self._group.size > 1:
            self._plan_next(batch)
        return True

    def _plan_next(self, batch: int) -> None:
        now = time.perf_counter()
        pace = (batch - self._batch) / (now - self._time)  # batches a second, by the leader's clock
        self._next = batch + self._group.of_leader(max(1, round(pace * MEETING_SECONDS)))
        self._batch, self._time = batch, now
