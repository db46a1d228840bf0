"""Plan resumed runs: the settings and the verdict of each; then put them in the queue together."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from fashion_core.config import MAX_NAME, TrainConfig, parse_config
from fashion_core.data.description import describe, resolved
from fashion_core.errors import ConfigError, DamagedFileError, DiskError, FashionError, cut_middle, printable
from fashion_core.resume import reasons, texts
from fashion_core.resume.labels import short_label
from fashion_core.resume.transfer import Layers, frozen_of, layers_of, saved_sizes
from fashion_core.resume.verdict import Verdict, changes, check_epoch, inspect_checkpoint, judge
from fashion_core.runs import queue, team_models, torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, Parent, Repeat, Resumption, check_seeds, places_of, seeded_name
from fashion_core.runs.store import RunStore


def planned_epochs(run: Run, epoch: int) -> int:
    """How many more epochs its run had planned after this one; at least 1. Raises ``DamagedFileError``."""
    return max(1, run.record.config.epochs - epoch - 1)


def resumed_config(run: Run, epoch: int, additional: int, overrides: Mapping[str, Any]) -> TrainConfig:
    """The parent's settings with the overrides, to train more epochs after this one.

    Raises ``ConfigError``, ``DataError`` if the dataset is not here, ``ModelError``.
    """
    parent = run.record.config
    if additional < 1:
        raise ConfigError(texts.TOO_FEW_EPOCHS.format(additional=additional))
    config = _on_its_dataset(run, {**parent.model_dump(), **overrides, "epochs": epoch + 1 + additional}, overrides)
    if "name" in overrides:
        return config
    # what tells this run from the others of the same checkpoint; the parent's name is cut where it is too long
    end = f" ↻ {epoch}, {short_label(changes(run.record, config))}"
    return config.model_copy(update={"name": cut_middle(printable(run.title), MAX_NAME - len(end)) + end})


def _on_its_dataset(run: Run, asked: dict[str, Any], overrides: Mapping[str, Any]) -> TrainConfig:
    named = parse_config({"dataset": asked["dataset"]}).dataset  # alone: the other sizes are those of the parent's
    parent, found = run.record.description, describe(named)
    is_another, images = found.sha256 != parent.sha256, asked["train_images"]
    if is_another and "train_images" not in overrides and (images == parent.train or images > found.train):
        asked["train_images"] = 0  # all of the other one, too
    config = resolved(parse_config(asked))
    team_models.check(config.model, found.shape)
    return config


@dataclass(frozen=True)
class ResumeRequest:
    epoch: int
    additional: int
    overrides: Mapping[str, Any]
    repeat: Repeat | None = None
    freeze: bool | None = None  # whether what is kept stays as it is; None: where the parent's did


def with_seeds(run: Run, requests: Sequence[ResumeRequest], seeds: int) -> list[ResumeRequest]:
    """Each request for this many seeds, from its own one up. Raises ``ConfigError``."""
    check_seeds(seeds)
    return [*requests] if seeds == 1 else [one for request in requests for one in _repeated(run, request, seeds)]


def _repeated(run: Run, request: ResumeRequest, seeds: int) -> Iterator[ResumeRequest]:
    first = resumed_config(run, request.epoch, request.additional, request.overrides).seed
    others = {name: value for name, value in request.overrides.items() if name != "seed"}
    title = resumed_config(run, request.epoch, request.additional, others).title
    for number, place in enumerate(places_of(seeds)):
        own = {"seed": first + number, "name": seeded_name(title, first + number)}
        yield replace(request, overrides={**others, **own}, repeat=place)


@dataclass(frozen=True)
class Plan:
    epoch: int
    config: TrainConfig
    environment: Environment
    verdict: Verdict
    repeat: Repeat | None
    layers: Layers | None  # of a transfer
    frozen: tuple[str, ...]  # the tensors that are not trained


def plan_runs(run: Run, requests: Sequence[ResumeRequest]) -> list[Plan]:
    """What each request will produce.

    Raises ``RunNotFoundError``, ``ConfigError``, ``DataError``, ``DeviceError``, ``ModelError``, ``DamagedFileError``,
    ``RefusedFileError``, ``DiskError``.
    """
    found = {epoch: inspect_checkpoint(run, epoch) for epoch in dict.fromkeys(request.epoch for request in requests)}
    plans = []
    for request in requests:
        config = resumed_config(run, request.epoch, request.additional, request.overrides)
        environment = torch_process.environment_to_resume(run.record.environment, config)
        layers = layers_for(run, request.epoch, config, found[request.epoch])
        can_be_used = layers or found[request.epoch].kind not in ("damaged", "not usable")
        frozen = frozen_of(run, config, layers, request.freeze) if can_be_used else ()
        verdict = judge(found[request.epoch], run.record, config, environment, layers, frozen)
        plans.append(Plan(request.epoch, config, environment, verdict, request.repeat, layers, frozen))
    return plans


def layers_for(run: Run, epoch: int, config: TrainConfig, found: Verdict) -> Layers | None:
    """The layers of a transfer from this checkpoint, which may be one since the source of its model has changed.

    Raises what ``layers_of`` raises, ``DiskError``, ``RefusedFileError``.
    """
    is_teams = run.record.model_sha256 is not None
    if found.kind == "damaged" or (found.kind == "not usable" and not (found.unfit and is_teams)):
        return None
    return layers_of(run.record, config, saved_sizes(run.checkpoint_path(epoch)) if is_teams else None)


def is_transfer(run: Run, request: ResumeRequest) -> bool:
    """Whether a request is for another head; not if it can't be planned, of which ``plan_runs`` says why."""
    with suppress(FashionError):
        config = resumed_config(run, request.epoch, request.additional, request.overrides)
        return layers_for(run, request.epoch, config, inspect_checkpoint(run, request.epoch)) is not None
    return False


def layer_tables(plans: Sequence[Plan]) -> list[tuple[Layers, tuple[str, ...]]]:
    """The layers of the transfers among them, with those that are frozen; each table once."""
    return list(dict.fromkeys((planned.layers, planned.frozen) for planned in plans if planned.layers))


def create(store: RunStore, run: Run, requests: Sequence[ResumeRequest], *, here: bool = True) -> list[Run]:
    """Create queued runs that resume from these checkpoints, which stay unchanged; either all runs or none.

    Raises what ``plan_runs`` raises, ``DataError``, ``DamagedFileError`` or ``RefusedFileError`` if a checkpoint
    cannot be resumed, before anything is written; ``RunNotFoundError`` if one is deleted in the meantime.
    """
    plans = plan_runs(run, requests)
    for planned in plans:
        _check(run, planned, here)
    group = secrets.token_hex(4) if len(plans) > 1 else None
    with queue.making(store) as made:
        for planned in plans:
            resumption = Resumption(
                parent_name=run.title,
                changes=changes(run.record, planned.config, planned.frozen),
                verdict=planned.verdict.kind,
                reasons=planned.verdict.reasons,
                group=group,
                transfer=planned.layers.as_record() if planned.layers else None,
            )
            parent = Parent(run=run.id, epoch=planned.epoch)
            asked: dict[str, Any] = {"resumption": resumption, "repeat": planned.repeat, "frozen": planned.frozen}
            child = store.create(planned.config, planned.environment, parent, state=queue.first_state(here), **asked)
            made.append(child)
            # from now on it can't be deleted, but it may have been just before
            check_epoch(run, planned.epoch, run.epochs_saved())
    return made


def _check(run: Run, planned: Plan, here: bool) -> None:
    verdict, why = planned.verdict.kind, "; ".join(reasons.texts(planned.verdict.reasons))
    if verdict == "damaged":
        raise DamagedFileError(run.checkpoint_path(planned.epoch), why)
    if verdict == "not usable":
        raise planned.verdict.refusal()
    queue.check_can_start(planned.config, here)


def resume(store: RunStore, run: Run, requests: Sequence[ResumeRequest], *, here: bool = True) -> list[Run]:
    """Put runs that resume from checkpoints in the queue; they start as slots become free. Raises like ``create``.

    Unless they are to train ``here``, they are made as stopped ones, as ``queue.start`` does.
    """
    made = create(store, run, requests, here=here)
    queue.advance(store)
    return made


def runs_of_group(store: RunStore, group: str) -> list[Run]:
    """The runs that were resumed by one click, the oldest first; damaged ones are skipped."""
    found = []
    store.index.refresh(statuses=True)
    for run in map(store.at, reversed(store.index.found_by(group))):
        with suppress(DamagedFileError, DiskError):
            record = run.record
            if record.twin_of is None and record.resumption and record.resumption.group == group:
                found.append(run)
    return found
