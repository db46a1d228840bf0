"""Plan resumed runs: what each takes over, what differs, whether that is exact; then put them in the queue together."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fashion_core.cache import Cache, stamp
from fashion_core.config import TrainConfig, parse_config, settings
from fashion_core.data import fashion_mnist
from fashion_core.errors import (
    ConfigError,
    DamagedFileError,
    DiskError,
    FashionError,
    RefusedFileError,
    RunNotFoundError,
    RunStateError,
    printable,
)
from fashion_core.formats import inspect
from fashion_core.resume.labels import cut_middle, short_label
from fashion_core.runs import machine, queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Change, Environment, Parent, Resumption, RunRecord, VerdictKind
from fashion_core.runs.store import RunStore

_MOST_NAMED = 12
"""The most checkpoints that are listed one by one."""
_NO_CHANGE = frozenset({"name", "epochs", "keep", "device", "threads"})
"""Settings that don't affect the numbers, or only through the environment, which is compared separately."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on resuming from a checkpoint, with a phrase for each thing that is missing or different."""

    kind: VerdictKind
    reasons: tuple[str, ...]


def planned_epochs(run: Run, epoch: int) -> int:
    """How many more epochs its run had planned after this one; at least 1. Raises ``DamagedFileError``."""
    return max(1, run.record.config.epochs - epoch - 1)


def check_epoch(run: Run, epoch: int, saved: list[int]) -> None:
    """Raises ``RunNotFoundError`` that names the ``saved`` epochs if this is none of them."""
    if epoch in saved:
        return
    there = f"those of epoch {', '.join(map(str, saved))}" if saved else "none"
    if len(saved) > _MOST_NAMED:
        there = f"{len(saved):,}, from epoch {saved[0]:,} to {saved[-1]:,}"
    raise RunNotFoundError(f"Run {run.id} has no checkpoint of epoch {epoch}; it has {there}.")


def resumed_config(run: Run, epoch: int, additional: int, overrides: Mapping[str, Any]) -> TrainConfig:
    """The parent's settings with the overrides, to train ``additional`` epochs after ``epoch``.

    Raises ``ConfigError``: no epochs to train, another model than the checkpoint's, a bad setting.
    """
    parent = run.record.config
    if additional < 1:
        raise ConfigError(f"Additional epochs should be at least 1, not {additional}.")
    if overrides.get("model", parent.model) != parent.model:
        raise ConfigError(
            f"The checkpoint holds the weights of {parent.model}; they don't fit {overrides['model']}: "
            f"leave the model as it is, or train {overrides['model']} from the start."
        )
    config = parse_config({**parent.model_dump(), **overrides, "epochs": epoch + 1 + additional})
    if "name" in overrides:
        return config
    # what tells this run from the others of the same checkpoint; the parent's name is cut where it is too long
    end = f" ↻ {epoch}, {short_label(changes(parent, config))}"
    return config.model_copy(update={"name": cut_middle(printable(run.title), 80 - len(end)) + end})


def changes(parent: TrainConfig, config: TrainConfig) -> dict[str, Change]:
    """The settings that were overridden, without the name and the number of epochs."""
    before, after = parent.model_dump(), config.model_dump()
    names = [setting.name for setting in settings() if setting.name not in ("name", "epochs")]
    return {name: Change(before=before[name], after=after[name]) for name in names if before[name] != after[name]}


def inspect_checkpoint(run: Run, epoch: int) -> Verdict:
    """Return what one checkpoint is good for, whatever settings it is resumed with.

    Raises ``RunNotFoundError`` if there is none of this epoch, ``DiskError``.
    """
    return _inspected(run, epoch)[0]


def carries_optimizer(run: Run, epoch: int) -> bool:
    """Whether the checkpoint has an optimizer's state.

    Raises ``RefusedFileError`` if it can't be read, and what ``inspect_checkpoint`` raises.
    """
    verdict, has_optimizer = _inspected(run, epoch)
    if has_optimizer is None:
        raise RefusedFileError("; ".join(verdict.reasons))
    return has_optimizer


_inspections: Cache[tuple[Verdict, bool | None]] = Cache(1024)


def _inspected(run: Run, epoch: int) -> tuple[Verdict, bool | None]:
    """Hash and inspect a checkpoint once: page, script and click share the result until the file changes."""
    check_epoch(run, epoch, run.epochs_saved())
    path = run.checkpoint_path(epoch)
    return _inspections.get(path, stamp(path, run.info_path(path)), lambda: _inspect(run, epoch))


def _inspect(run: Run, epoch: int) -> tuple[Verdict, bool | None]:
    """The verdict, and whether there is an optimizer's state; None if the file can't be read."""
    damaged = None
    try:
        run.whole_checkpoint(epoch)
    except DamagedFileError as error:
        damaged = Verdict("damaged", (error.reason,))
    try:
        found = inspect.inspect(run.checkpoint_path(epoch), numbers=False)
    except RefusedFileError as error:
        return damaged or Verdict("not usable", (error.reason,)), None
    verdict = Verdict(found.verdict, tuple(f"it does not carry {what}" for what in found.missing))
    if found.refusal:
        verdict = Verdict("not usable", (found.refusal.removeprefix("The file is refused: ").rstrip("."),))
    return damaged or verdict, found.optimizer is not None


def judge(found: Verdict, parent: RunRecord, config: TrainConfig, environment: Environment) -> Verdict:
    """Return the verdict on resuming a checkpoint of this parent with these settings in this environment."""
    different = (*_different(parent.config, config), *_environment(parent.environment, environment))
    verdict: VerdictKind = "approximate" if found.kind == "exact" and different else found.kind
    return Verdict(verdict, found.reasons if verdict in ("damaged", "not usable") else (*found.reasons, *different))


def _different(parent: TrainConfig, config: TrainConfig) -> list[str]:
    phrases = [describe(name, change) for name, change in changes(parent, config).items() if name not in _NO_CHANGE]
    if parent.optimizer != config.optimizer:
        phrases.append(f"{config.optimizer} starts fresh: the state of {parent.optimizer} is not used")
    if parent.dataset != config.dataset:
        phrases.append("DIFFERENT DATASET: the checkpoint was trained on other images")
    if config.schedule == parent.schedule == "cosine" and config.epochs != parent.epochs:
        phrases.append(f"the cosine reaches zero after epoch {config.epochs - 1} instead of {parent.epochs - 1}")
    return phrases


def describe(name: str, change: Change) -> str:
    """A change in words, such as "learning rate 0.001 → 0.0001"."""
    label = next(setting.label for setting in settings() if setting.name == name)
    return f"{label[:1].lower()}{label[1:]} {_value(change.before)} → {_value(change.after)}"


def _value(value: str | int | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _environment(before: Environment, after: Environment) -> list[str]:
    pairs = {
        "device": (before.device, after.device),
        "threads": (before.threads, after.threads),
        "torch": (before.torch, after.torch),
    }
    if before.processor and after.processor and before.device == after.device:
        pairs["processor"] = before.processor, after.processor
    return [f"{what} {old} → {now}: rounding differs" for what, (old, now) in pairs.items() if old != now]


@dataclass(frozen=True)
class ResumeRequest:
    """A request to train additional epochs after this one, with some settings changed."""

    epoch: int
    additional: int
    overrides: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a request will produce: the whole configuration, its environment, and the verdict."""

    epoch: int
    config: TrainConfig
    environment: Environment
    verdict: Verdict


def plan_runs(run: Run, requests: Sequence[ResumeRequest]) -> list[Plan]:
    """Return what resuming from checkpoints of this run will be; nothing is written.

    Raises ``RunNotFoundError``, ``ConfigError``, ``DeviceError`` or ``DiskError`` for the first request that can't be.
    """
    found = {epoch: inspect_checkpoint(run, epoch) for epoch in dict.fromkeys(request.epoch for request in requests)}
    plans = []
    for request in requests:
        config = resumed_config(run, request.epoch, request.additional, request.overrides)
        environment = machine.environment_to_resume(run.record.environment, config)
        verdict = judge(found[request.epoch], run.record, config, environment)
        plans.append(Plan(request.epoch, config, environment, verdict))
    return plans


def create(store: RunStore, run: Run, requests: Sequence[ResumeRequest]) -> list[Run]:
    """Create queued runs that resume from these checkpoints, which stay unchanged; either all runs or none.

    Raises what ``plan_runs`` raises, ``DataError``, ``DamagedFileError`` or ``RefusedFileError`` if a checkpoint
    cannot be resumed, before anything is written; ``RunNotFoundError`` if one is deleted in the meantime.
    """
    queue.slots()
    plans = plan_runs(run, requests)
    for planned in plans:
        _check(run, planned)
    group = secrets.token_hex(4) if len(plans) > 1 else None
    made: list[Run] = []
    try:
        for planned in plans:
            made.append(_create_one(store, run, planned, group))
            # from now on it can't be deleted, but it may have been just before
            check_epoch(run, planned.epoch, run.epochs_saved())
    except FashionError:
        for one in made:
            with suppress(FashionError):
                store.delete(one)
        raise
    return made


def _check(run: Run, planned: Plan) -> None:
    verdict, reasons = planned.verdict.kind, "; ".join(planned.verdict.reasons)
    if verdict == "damaged":
        raise DamagedFileError(run.checkpoint_path(planned.epoch), reasons)
    if verdict == "not usable":
        raise RefusedFileError(reasons)
    if planned.config.dataset == "fashion-mnist":
        fashion_mnist.check()


def _create_one(store: RunStore, run: Run, planned: Plan, group: str | None) -> Run:
    resumption = Resumption(
        parent_name=run.title,
        changes=changes(run.record.config, planned.config),
        verdict=planned.verdict.kind,
        reasons=planned.verdict.reasons,
        group=group,
    )
    parent = Parent(run=run.id, epoch=planned.epoch)
    return store.create(planned.config, planned.environment, parent, resumption=resumption)


def resume(store: RunStore, run: Run, requests: Sequence[ResumeRequest]) -> list[Run]:
    """Put runs that resume from checkpoints in the queue; they start as slots become free. Raises like ``create``."""
    made = create(store, run, requests)
    queue.advance(store)
    return made


def runs_of_group(store: RunStore, group: str) -> list[Run]:
    """The runs that were resumed by one click, the oldest first; damaged ones are skipped."""
    found = []
    for run in reversed(store.runs()):
        with suppress(DamagedFileError, DiskError):
            if (resumption := run.record.resumption) and resumption.group == group:
                found.append(run)
    return found


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
            continue  # it has ended, or was deleted
    if problem:
        raise problem
