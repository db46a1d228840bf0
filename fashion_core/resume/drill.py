"""The crash drill: kill a run's worker while people watch, continue, and end in the bits of an undisturbed twin."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fashion_core import files
from fashion_core.config import MAX_NAME
from fashion_core.errors import DamagedFileError, DiskError, RunStateError
from fashion_core.resume import bitwise, texts
from fashion_core.runs import processes, queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, Drill, Labels, RunRecord
from fashion_core.runs.store import RunStore

LOST_SECONDS: Final = 3.0  # how long a room sees that the run is lost, before it continues


@dataclass(frozen=True)
class Outcome:
    """How a run and its twin ended: the SHA-256 of their final weights, as they lie on the disk now."""

    same: bool
    ours: str
    theirs: str
    tensors: int  # of the newest checkpoint that both have, the optimizer's included; all have the same bits


def kill(run: Run) -> None:
    """Kill the worker of a run that trains. Raises ``RunStateError`` if none does here, ``WorkerError``."""
    status = run.status
    worker = status.process if run.state(status) == "running" else None
    if worker is None or not processes.kill(worker):
        raise RunStateError(texts.NO_WORKER.format(run=run.id))
    with run.writing():  # the lock is free once the worker is gone
        status = run.status
        run.write_drill(Drill(killed=files.now(), pid=worker.pid, epoch=status.epoch, batch=status.batch))


def is_pending(run: Run) -> bool:
    """Whether the run was killed by a drill that has yet to continue it."""
    drill = run.drill
    return drill is not None and not drill.continued and run.state() == "lost"


def is_due(run: Run) -> bool:
    """Whether such a run has been shown as lost for long enough."""
    drill = run.drill
    return drill is not None and files.now() - drill.killed > LOST_SECONDS and is_pending(run)


def continue_run(store: RunStore, run: Run) -> Run | None:
    """Continue a killed run, then queue a twin and return it, unless there is one already.

    Of two who ask at the same time, one does it. Raises what ``queue.continue_run`` raises.
    """
    with run.writing():
        drill = run.drill
        if drill is None or not is_pending(run):
            return None
        source = max(run.whole_epochs(), default=None)
        run.write_drill(drill.model_copy(update={"continued": True, "source": source}))
    queue.continue_run(store, run)
    if twin(store, run):
        return None
    record, labels = run.record, Labels(name=texts.TWIN_NAME.format(name=run.title)[:MAX_NAME], tags=("drill",))
    made = store.create(record.config, record.environment, record.parent, resumption=record.resumption, labels=labels)
    queue.advance(store)
    return made


def twin(store: RunStore, run: Run) -> Run | None:
    """A run that was asked for the same and never interrupted: one that has finished, else one that is under way."""
    twins = [other for other in store.runs() if other.id != run.id and _is_twin(other, run.record)]
    for states in (frozenset({"finished"}), UNDER_WAY_STATES):
        for other in twins:
            if other.state() in states:
                return other
    return None


def _is_twin(other: Run, record: RunRecord) -> bool:
    with suppress(DamagedFileError, DiskError):
        return _asked(other.record) == _asked(record) and not other.status.continued
    return False


def _asked(record: RunRecord) -> tuple[object, ...]:
    """All that decides the bits of a run."""
    return record.parent, record.environment, record.config.model_copy(update={"name": ""})


def compare(run: Run, twin: Run) -> Outcome | None:
    """How both ended; None until both have finished. Raises ``DamagedFileError`` or ``DiskError``."""
    if {run.state(), twin.state()} != {"finished"}:
        return None
    ours, theirs = (files.digest_of(one.weights_path).sha256 for one in (run, twin))
    found = bitwise.check_bitwise(run, twin)
    return Outcome(ours == theirs and found.kind == "identical", ours, theirs, found.tensors)
