"""The verdict on resuming from a checkpoint: exact, or what is missing or different, before anything is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fashion_core.cache import Cache, stamp
from fashion_core.config import TrainConfig, settings
from fashion_core.data.description import describe, images_here
from fashion_core.errors import DamagedFileError, DiskError, RefusedFileError, RunNotFoundError, UnfitFileError
from fashion_core.formats import inspect
from fashion_core.formats.untrusted.blueprints import sizes_of
from fashion_core.resume import reasons, texts
from fashion_core.resume.transfer import Layers
from fashion_core.runs import team_models
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Change, Environment, Message, RunRecord, VerdictKind

_MOST_NAMED = 12  # checkpoints that are listed one by one
# settings that don't affect the numbers, or only through the environment, which is compared separately
_NO_CHANGE = frozenset({"name", "epochs", "keep", "device", "threads", "processes"})


@dataclass(frozen=True)
class Verdict:
    kind: VerdictKind
    reasons: tuple[Message | str, ...]  # each thing that is missing or different; in words if the file can't be used
    unfit: bool = False  # of those that are not usable: whether the file is not refused

    def refusal(self) -> RefusedFileError:
        """What to raise where it is not usable."""
        kind = UnfitFileError if self.unfit else RefusedFileError
        return kind("; ".join(reasons.texts(self.reasons)))


def check_epoch(run: Run, epoch: int, saved: list[int]) -> None:
    """Raises ``RunNotFoundError`` that names the ``saved`` epochs if this is none of them."""
    if epoch in saved:
        return
    if len(saved) > _MOST_NAMED:
        text = texts.HAS_MANY_CHECKPOINTS
    else:
        text = texts.HAS_CHECKPOINTS if saved else texts.HAS_NO_CHECKPOINT
    ends = {"first": saved[0], "last": saved[-1]} if saved else {}
    named = ", ".join(map(str, saved))
    raise RunNotFoundError(text.format(run=run.id, epoch=epoch, epochs=named, count=len(saved), **ends))


def changes(parent: RunRecord, config: TrainConfig, frozen: Sequence[str] | None = None) -> dict[str, Change]:
    """The settings that were overridden, except the name and the number of epochs; other images are another dataset.

    And where given, how many tensors are ``frozen``, if these are others.
    """
    before, after = parent.config.model_dump(), config.model_dump()
    if before["dataset"] == after["dataset"]:  # the name may stand for other images by now
        before["dataset"], after["dataset"] = parent.images, images_here(config.dataset)
    names = [setting.name for setting in settings() if setting.name not in ("name", "epochs")]
    found = {name: Change(before=before[name], after=after[name]) for name in names if before[name] != after[name]}
    if frozen is not None and {*frozen} != {*parent.frozen}:
        found["frozen"] = Change(before=len(parent.frozen), after=len(frozen))
    return found


def inspect_checkpoint(run: Run, epoch: int) -> Verdict:
    """What one checkpoint is good for, with any settings. Raises ``RunNotFoundError`` or ``DiskError``."""
    return _inspected(run, epoch)[0]


def carries_optimizer(run: Run, epoch: int) -> bool:
    """Raises ``RefusedFileError`` if the checkpoint can't be read, and what ``inspect_checkpoint`` raises."""
    verdict, has_optimizer = _inspected(run, epoch)
    if has_optimizer is None:
        raise verdict.refusal()
    return has_optimizer


_inspections: Cache[tuple[Verdict, bool | None]] = Cache(1024)


def _inspected(run: Run, epoch: int) -> tuple[Verdict, bool | None]:
    """Hash and inspect a checkpoint once: page, script and click share the result until the file changes."""
    check_epoch(run, epoch, run.epochs_saved())
    path = run.checkpoint_path(epoch)
    made_of = stamp(path, run.info_path(path)), team_models.digests()
    return _inspections.get(path, made_of, lambda: _inspect(run, epoch))


def _inspect(run: Run, epoch: int) -> tuple[Verdict, bool | None]:
    """The verdict, and whether there is an optimizer's state to use; None if the file can't be read."""
    damaged = None
    try:
        run.whole_checkpoint(epoch)
    except DamagedFileError as error:
        damaged = Verdict("damaged", (error.reason,))
    try:
        found = inspect.inspect(run.checkpoint_path(epoch), numbers=False)
    except RefusedFileError as error:
        return damaged or Verdict("not usable", (error.reason,), isinstance(error, UnfitFileError)), None
    instead = {"optimizer": "usable optimizer"} if not found.optimizer and _left_an_optimizer_out(run) else {}
    verdict = Verdict(found.verdict, tuple(Message(id=f"no {instead.get(what, what)}") for what in found.missing))
    if found.refusal:
        verdict = Verdict("not usable", (found.refusal.partition(": ")[2].rstrip("."),), found.unfit)
    return damaged or verdict, found.optimizer is not None and found.optimizer.problem is None


def _left_an_optimizer_out(run: Run) -> bool:
    """Whether the file that this run was imported from has an optimizer that can't be used here."""
    if not run.record.source:
        return False
    try:
        return inspect.inspect(run.original_path, numbers=False).optimizer is not None
    except (RefusedFileError, DiskError):  # it was deleted or damaged since
        return False


def judge(
    found: Verdict,
    parent: RunRecord,
    config: TrainConfig,
    environment: Environment,
    layers: Layers | None = None,
    frozen: Sequence[str] = (),
) -> Verdict:
    """The verdict with these settings; ``layers`` are those of a transfer, ``frozen`` what is not trained."""
    if found.kind == "damaged" or (found.kind == "not usable" and not layers):
        return found
    different = (
        *_different(parent, config, layers),
        *_differently_frozen(parent, config, layers, frozen),
        *parent.environment.differences(environment),
    )
    kind: VerdictKind = "approximate" if found.kind == "exact" and different else found.kind
    return Verdict("transfer" if layers else kind, (*found.reasons, *different))


def _differently_frozen(
    record: RunRecord, config: TrainConfig, layers: Layers | None, frozen: Sequence[str]
) -> Iterator[Message]:
    own, before = sizes_of(config.model, describe(config.dataset).shape), {*record.frozen}
    if frozen and (layers or {*frozen} != before):
        yield Message(id="frozen", values={"count": len(frozen), "tensors": len(own)})
    kept = {*layers.names("kept")} if layers else {*own}
    if trained := (before & kept) - {*frozen}:
        yield Message(id="no longer frozen", values={"count": len(trained), "tensors": len(own)})


def _has_other_source(record: RunRecord, config: TrainConfig) -> bool:
    """Whether the name of its model stands for another source by now. Raises ``DataError``, ``ModelError``."""
    return record.model_sha256 != team_models.sha256_of(config.model, describe(config.dataset).shape)


def _different(record: RunRecord, config: TrainConfig, layers: Layers | None) -> Iterator[Message]:
    parent, changed = record.config, changes(record, config)
    for name, change in changed.items():
        if name not in _NO_CHANGE:
            yield reasons.changed(name, change)
    if parent.optimizer != config.optimizer:
        yield Message(id="fresh optimizer", values={"before": parent.optimizer, "after": config.optimizer})
    elif layers and not layers.same_parameters:
        yield Message(id="fresh state", values={"after": config.optimizer})
    if "model" not in changed and _has_other_source(record, config):
        yield Message(id="model source", values={"model": config.model})
    if "dataset" in changed:
        yield Message(id="other dataset")
    if layers:
        yield layers.told
    if parent.processes != config.processes:
        yield Message(id="processes", values={"before": parent.processes, "after": config.processes})
    if config.schedule == parent.schedule == "cosine" and config.epochs != parent.epochs:
        yield Message(id="cosine", values={"before": parent.epochs - 1, "after": config.epochs - 1})
