"""The crash drill: kill a run's worker while people watch, continue, and end in the bits of an undisturbed twin."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fashion_core import files
from fashion_core.cache import Cache, stamp
from fashion_core.config import MAX_NAME, TrainConfig
from fashion_core.errors import DamagedFileError, DiskError, RunStateError, WorkerError
from fashion_core.resume import bitwise, texts
from fashion_core.runs import processes, queue, team_models
from fashion_core.runs.processes import ProcessId
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES, Drill, Labels, RunRecord, Status
from fashion_core.runs.store import RunStore

LOST_SECONDS: Final = 3.0  # how long a room sees that the run is lost, before it continues
_SETTINGS: Final = tuple(TrainConfig.model_fields.keys() - {"name"})
_digests: Cache[str] = Cache(64)  # a page asks each second


@dataclass(frozen=True)
class Outcome:
    """How a run and its twin ended: the SHA-256 of their final weights, as they lie on the disk now."""

    same: bool
    ours: str
    theirs: str
    tensors: int  # of the newest checkpoint that both have, the optimizer's included; 0 if no epoch has both any more


def kill(run: Run) -> None:
    """Kill the worker of a run that trains. Raises ``RunStateError`` if none does here, ``WorkerError``.

    Not before it has chosen its threads: its twin takes the same.
    """
    status = run.status
    is_training = run.state(status) == "running" and not run.record.environment.threads_open
    worker = status.process if is_training else None
    if worker is None or not _kill(run, status, worker):
        raise RunStateError(texts.NO_WORKER.format(run=run.id))


def _kill(run: Run, status: Status, worker: ProcessId) -> bool:
    """Note the drill first, so that no full disk leaves a killed run without it; take it back if nothing was killed."""
    before = run.drill
    noted = Drill(
        killed=files.now(), pid=worker.pid, epoch=status.epoch, batch=status.batch, continued=status.continued
    )
    run.write_drill(noted)
    try:
        was_here = processes.kill(worker)
    except WorkerError:
        run.restore_drill(before)
        raise
    status = run.status
    if status.state == "running" and (was_here or run.state(status) == "lost"):  # it ended without a word
        return True
    run.restore_drill(before)
    return False


def is_pending(run: Run) -> bool:
    """Whether the run was killed by a drill, and nobody has continued it since."""
    drill, status = run.drill, run.status
    return drill is not None and drill.continued == status.continued and run.state(status) == "lost"


def is_due(run: Run) -> bool:
    """Whether such a run has been shown as lost for long enough."""
    drill = run.drill
    return drill is not None and files.now() - drill.killed > LOST_SECONDS and is_pending(run)


def continue_run(store: RunStore, run: Run) -> bool:
    """Continue a killed run where it stood in the queue; return whether this call did: of two, one does.

    Raises what ``queue.continue_run`` raises.
    """
    if not is_pending(run):
        return False
    try:
        queue.continue_run(store, run, keep_place=True)
    except RunStateError:
        if is_pending(run):
            raise
        return False
    return True


def start_twin(store: RunStore, run: Run) -> Run | None:
    """Queue a twin and return it, unless there is one already or it can't begin where the run began."""
    if twin(store, run) or not can_begin_again(store, run):
        return None
    team_models.check_source(run.record)
    record, labels = run.record, Labels(name=texts.TWIN_NAME.format(name=run.title)[:MAX_NAME], tags=("drill",))
    made = store.create(
        record.config,
        record.environment,
        record.parent,
        resumption=record.resumption,
        labels=labels,
        twin_of=run.id,
        frozen=record.frozen,
    )
    queue.advance(store)
    return made


def can_begin_again(store: RunStore, run: Run) -> bool:
    """Whether the checkpoint that the run was resumed from, if any, is still there and not known to be damaged."""
    parent = run.record.parent
    return parent is None or (store.has(parent.run) and parent.epoch in store.at(parent.run).whole_epochs())


def twin(store: RunStore, run: Run) -> Run | None:
    """A run that was asked for the same and never interrupted: one that has finished, else one that is under way."""
    twins = [*_twins(store, run)]
    for states in (frozenset({"finished"}), UNDER_WAY_STATES):
        for other in twins:
            if other.state() in states:
                return other
    return None


def _twins(store: RunStore, run: Run) -> Iterator[Run]:
    record = run.record
    store.index.refresh(statuses=True)
    known = store.index.row(run.id)
    for other in map(store.at, store.index.found_by(known and known.asked)):
        with suppress(DamagedFileError, DiskError):
            if other.id != run.id and _asked_the_same(record, other.record) and not other.status.continued:
                yield other


_RECORDED = ("parent", "environment", "images", "frozen", "model_sha256")


def _asked_the_same(one: RunRecord, other: RunRecord) -> bool:
    """Whether all that decides the bits is the same; nothing is copied, as a page asks of a thousand runs a second."""
    if any(getattr(one, name) != getattr(other, name) for name in _RECORDED):
        return False
    return all(getattr(one.config, name) == getattr(other.config, name) for name in _SETTINGS)


def compare(run: Run, twin: Run) -> Outcome | None:
    """How both ended; None until both have finished. Raises ``DamagedFileError`` or ``DiskError``."""
    if {run.state(), twin.state()} != {"finished"}:
        return None
    ours, theirs = _digest(run), _digest(twin)
    found = bitwise.check_bitwise(run, twin)
    return Outcome(ours == theirs and found.kind == "identical", ours, theirs, found.tensors)


def _digest(run: Run) -> str:
    path = run.weights_path
    return _digests.get(path, stamp(path), lambda: files.digest_of(path).sha256)
