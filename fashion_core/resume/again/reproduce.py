"""Train a run again, here or elsewhere: the same bits, or the first epoch that differs and what may be why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fashion_core.config import MAX_NAME, parse_config
from fashion_core.data.description import images_here, images_label
from fashion_core.errors import DataError, RunNotFoundError, RunStateError, cut_middle
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.validate import own_part
from fashion_core.resume import bitwise, drill, texts
from fashion_core.resume.reasons import texts as in_words
from fashion_core.resume.verdict import changes
from fashion_core.runs import queue, team_models, torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels, Message, RunRecord
from fashion_core.runs.store import RunStore

_TAG = "reproduction"
_OF_MACHINE = ("device", "threads")  # settings whose effect stands in the environment


@dataclass(frozen=True)
class Comparison:
    """How a run and its reproduction compare; what is no longer saved of either is left out."""

    identical: bool  # and at least one checkpoint was compared
    epochs: int  # compared by their losses and accuracy
    checkpoints: int  # compared tensor by tensor
    tensors: int  # of all of them
    epoch: int | None = None  # the first one that differs
    differs: Literal["not measured", "measured", "checkpoint"] | None = None  # what differs there
    reasons: tuple[Message | str, ...] = ()  # what may be why


def begin(store: RunStore, run: Run, overrides: Mapping[str, Any]) -> Run:
    """Queue a run with the same settings, but for the overrides, from the same checkpoint if it was resumed.

    It trains straight through, however often the run was stopped. Raises ``RunStateError`` unless that has finished
    here, ``DataError`` if the images are others, ``ModelError`` if the source of its model is another,
    ``RunNotFoundError`` without its parent's checkpoint, and what ``queue.start`` raises.
    """
    record = run.record
    _check(store, run, record)
    config = parse_config({**record.config.model_dump(), **overrides})
    queue.check_can_start(config)
    name = cut_middle(texts.REPRODUCTION_NAME.format(name=run.title), MAX_NAME)
    made = store.create(
        config,
        torch_process.environment_to_resume(record.environment, config),
        record.parent,
        resumption=record.resumption,
        labels=Labels(name=name, tags=(_TAG,)),
        twin_of=run.id,
        frozen=record.frozen,
    )
    queue.advance(store)
    return made


def _check(store: RunStore, run: Run, record: RunRecord) -> None:
    if record.source:
        raise RunStateError(texts.NOT_TRAINED_HERE.format(run=run.id))
    if (state := run.state()) != "finished":
        raise RunStateError(texts.NOT_FINISHED.format(run=run.id, state=state))
    if record.images != images_here(record.config.dataset):
        raise DataError(texts.OTHER_IMAGES.format(run=run.id, images=images_label(record.images)))
    team_models.check_source(record)
    if not drill.can_begin_again(store, run):
        raise RunNotFoundError(texts.PARENT_GONE.format(run=run.id))


def compare(run: Run, again: Run) -> Comparison:
    """Compare every epoch that either measured and all checkpoints that both still have, up to the first difference.

    Raises ``DamagedFileError`` if a checkpoint is no longer what was saved, ``DiskError``.
    """
    ours, theirs = bitwise.measured(run), bitwise.measured(again)
    saved = {*run.epochs_saved()} & {*again.epochs_saved()}
    epochs = checkpoints = tensors = 0
    for epoch in sorted(ours.keys() | theirs.keys() | saved):
        if lacking := [one for one, found in ((run, ours), (again, theirs)) if epoch not in found]:
            reasons = *map(_not_measured, lacking), *_known_reasons(run, again)
            return Comparison(False, epochs, checkpoints, tensors, epoch, "not measured", reasons)
        if ours[epoch] != theirs[epoch]:
            return Comparison(False, epochs, checkpoints, tensors, epoch, "measured", _reasons(run, again))
        epochs += 1
        if epoch in saved:
            same = bitwise.identical_tensors(run, again, epoch)
            if same is None:
                return Comparison(False, epochs, checkpoints, tensors, epoch, "checkpoint", _reasons(run, again))
            checkpoints, tensors = checkpoints + 1, tensors + same
    return Comparison(checkpoints > 0, epochs, checkpoints, tensors)


def told(found: Comparison) -> str:
    """The comparison as the end of a sentence."""
    if found.differs:
        return texts.DIFFERENT.format(epoch=found.epoch, reasons="; ".join(in_words(found.reasons)))
    if not found.identical:
        return texts.NOT_COMPARED.format(epochs=found.epochs)
    return texts.IDENTICAL.format(epochs=found.epochs, tensors=found.tensors, checkpoints=found.checkpoints)


def _reasons(run: Run, again: Run) -> tuple[Message | str, ...]:
    """What is not the same as when the run was trained; what it was edited to since comes first."""
    return (*_known_reasons(run, again),) or (Message(id="nothing known"),)


def _known_reasons(run: Run, again: Run) -> Iterator[Message]:
    yield from _edited(run)
    yield from _different(run.record, again.record)


def _not_measured(run: Run) -> Message:
    return Message(id="not measured", values={"run": run.id})


def _edited(run: Run) -> Iterator[Message]:
    """The settings that its newest checkpoint was trained with, where ``run.json`` says others by now."""
    newest = max(run.epochs_saved(), default=None)
    own = own_part(read_saved_file(run.checkpoint_path(newest)).content) if newest is not None else {}
    now = run.record.config.model_dump(mode="json")
    for name, before in (own.get("config") or {}).items():
        if name not in ("name", "keep") and now[name] != before:
            yield Message(id="edited", values={"setting": name, "before": before, "after": now[name]})


def _different(record: RunRecord, again: RunRecord) -> Iterator[Message]:
    for name, change in changes(record, again.config).items():
        if name not in _OF_MACHINE:
            values = {"setting": name, "before": change.before, "after": change.after}
            yield Message(id="setting", values=values)
    yield from record.environment.differences(again.environment)
    for package, before in record.packages.items():
        after = again.packages.get(package, "")
        if package != "torch" and before != after:
            yield Message(id="package", values={"package": package, "before": before, "after": after})
