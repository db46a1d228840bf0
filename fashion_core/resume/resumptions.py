"""Make runs that go on from checkpoints: plan them, hear the verdict on each, put them in the queue together."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fashion_core.config import TrainConfig
from fashion_core.data import fashion_mnist
from fashion_core.errors import (
    DamagedFileError,
    DiskError,
    FashionError,
    RefusedFileError,
    RunNotFoundError,
    RunStateError,
)
from fashion_core.resume import plan as resuming
from fashion_core.resume.plan import Verdict
from fashion_core.runs import machine, queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, Parent, Resumption
from fashion_core.runs.store import RunStore


@dataclass(frozen=True)
class ResumeRequest:
    """What somebody asks for: so many epochs after this one, with these settings changed."""

    epoch: int
    additional: int
    overrides: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What will come of a wish: the whole configuration, what it will be computed with, and the verdict."""

    epoch: int
    config: TrainConfig
    environment: Environment
    judgement: Verdict


def plan(run: Run, wishes: Sequence[ResumeRequest]) -> list[Plan]:
    """What resuming from checkpoints of this run will be; each checkpoint is read once, and nothing is written.

    Raises ``RunNotFoundError``, ``ConfigError``, ``DeviceError`` or ``DiskError`` for the first wish that can't be.
    """
    looked = {epoch: resuming.look(run, epoch) for epoch in dict.fromkeys(wish.epoch for wish in wishes)}
    return [_plan_one(run, wish, looked[wish.epoch]) for wish in wishes]


def _plan_one(run: Run, wish: ResumeRequest, looked: Verdict) -> Plan:
    config = resuming.resumed_config(run, wish.epoch, wish.additional, wish.overrides)
    environment = machine.environment_to_resume(run.record.environment, config)
    return Plan(wish.epoch, config, environment, resuming.judge(looked, run.record, config, environment))


def create(store: RunStore, run: Run, wishes: Sequence[ResumeRequest]) -> list[Run]:
    """Queued runs whose parents are these checkpoints, which are not touched; all of them or none.

    Raises what ``plan`` raises, ``DataError``, ``DamagedFileError`` or ``RefusedFileError`` if a checkpoint can't be
    gone on from, before anything is written; ``RunNotFoundError`` if one is deleted meanwhile.
    """
    queue.slots()
    plans = plan(run, wishes)
    for planned in plans:
        _check(run, planned)
    group = secrets.token_hex(4) if len(plans) > 1 else None
    made: list[Run] = []
    try:
        for planned in plans:
            made.append(_create_one(store, run, planned, group))
            # from now on nobody deletes it, but somebody may have just before
            resuming.check_epoch(run, planned.epoch, run.epochs_saved())
    except FashionError:
        for one in made:
            with suppress(FashionError):
                store.delete(one)
        raise
    return made


def _check(run: Run, planned: Plan) -> None:
    verdict, reasons = planned.judgement.verdict, "; ".join(planned.judgement.reasons)
    if verdict == "damaged":
        raise DamagedFileError(run.checkpoint_path(planned.epoch), reasons)
    if verdict == "not usable":
        raise RefusedFileError(reasons)
    if planned.config.dataset == "fashion-mnist":
        fashion_mnist.check()


def _create_one(store: RunStore, run: Run, planned: Plan, group: str | None) -> Run:
    resumption = Resumption(
        parent_name=run.title,
        changes=resuming.changes(run.record.config, planned.config),
        verdict=planned.judgement.verdict,
        reasons=planned.judgement.reasons,
        group=group,
    )
    parent = Parent(run=run.id, epoch=planned.epoch)
    return store.create(planned.config, planned.environment, parent, resumption=resumption)


def resume(store: RunStore, run: Run, wishes: Sequence[ResumeRequest]) -> list[Run]:
    """Put runs that go on from checkpoints in the queue; they start as slots become free. Raises as ``create``."""
    made = create(store, run, wishes)
    queue.advance(store)
    return made


def group_of(store: RunStore, group: str) -> list[Run]:
    """The runs that were resumed by one click, the oldest first; damaged ones are passed over."""
    return [run for run in reversed(store.runs()) if _is_in(run, group)]


def _is_in(run: Run, group: str) -> bool:
    with suppress(DamagedFileError, DiskError):
        resumption = run.record.resumption
        return resumption is not None and resumption.group == group
    return False


def cancel(runs: Sequence[Run]) -> None:
    """Ask every run that waits or trains to stop, the last in the queue first, so that none starts meanwhile.

    Raises ``DiskError`` once all were asked, if one could not be.
    """
    problem = None
    for run in reversed(runs):
        try:
            queue.stop(run)
        except DiskError as error:
            problem = error
        except (RunStateError, RunNotFoundError):
            continue  # it has ended, or is gone
    if problem:
        raise problem
