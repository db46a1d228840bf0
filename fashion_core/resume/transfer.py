"""A resume onto other classes, another dataset or another model: which layers of the checkpoint it keeps; no torch.

A tensor is kept where the model has one of the same name and shape, as ``load_state_dict`` takes it. Those whose shape
depends on the number of classes, the head, stand for the classes that they were trained for: they are new where these
have other names.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_core.config import Shape, TrainConfig
from fashion_core.data.description import MOST_CLASSES, describe, images_here
from fashion_core.errors import ConfigError, DamagedFileError, ModelError
from fashion_core.formats.untrusted.blueprints import learned_in, sizes_of
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.values import listed
from fashion_core.models.layers import Sizes
from fashion_core.resume import texts
from fashion_core.runs.run import UNKNOWN_FROZEN, Run
from fashion_core.runs.schema import Message, RunRecord, Transfer


@dataclass(frozen=True)
class Layer:
    """One tensor of the checkpoint, of the model or of both."""

    name: str
    before: Sizes | None  # its shape in the checkpoint
    after: Sizes | None  # its shape in the model
    fate: texts.Fate
    why: texts.WhyNotKept | None = None

    def cells(self, frozen: Collection[str] = ()) -> tuple[str, ...]:
        """What people read of it under ``texts.LAYER_COLUMNS``."""
        shapes = [texts.NO_TENSOR if size is None else str(size) for size in (self.before, self.after)]
        fate = texts.FROZEN if self.name in frozen else texts.FATES[self.fate]
        told = texts.BECAUSE.format(fate=fate, why=texts.WHY_NOT_KEPT[self.why]) if self.why else fate
        return self.name, told, *shapes


@dataclass(frozen=True)
class Layers:
    """The tensors of a transfer: the model's in its order, then what is left behind."""

    rows: tuple[Layer, ...]
    same_order: bool  # whether an optimizer counts the parameters as before

    def names(self, fate: texts.Fate) -> tuple[str, ...]:
        return tuple(row.name for row in self.rows if row.fate == fate)

    @property
    def same_parameters(self) -> bool:
        """Whether an optimizer's state fits what is trained now."""
        return self.same_order and all(row.fate == "kept" for row in self.rows)

    @property
    def of_other_classes(self) -> tuple[str, ...]:
        """What would fit, and is new because its classes are others."""
        return tuple(row.name for row in self.rows if row.why == "classes")

    @property
    def told(self) -> Message:
        """In one line: how many are kept, and which are new."""
        kept, new, left = self._by_fate()
        counts = {"kept": len(kept), "count": len(kept) + len(new), "new": len(new), "left": len(left)}
        return Message(id=_TOLD[bool(new), bool(left)], values={**counts, "layers": _layers(new or left)})

    def as_record(self) -> Transfer:
        kept, new, left = self._by_fate()
        return Transfer(kept=len(kept), new=new, left=left, same_parameters=self.same_parameters)

    def _by_fate(self) -> tuple[tuple[str, ...], ...]:
        return self.names("kept"), self.names("new"), self.names("left behind")

    def as_rows(self, frozen: Collection[str] = ()) -> list[dict[str, Any]]:
        """As ``--json`` prints them."""
        return [
            {
                "name": row.name,
                "checkpoint": row.before,
                "model": row.after,
                "fate": row.fate,
                "frozen": row.name in frozen,
                "why": row.why and texts.WHY_NOT_KEPT[row.why],
            }
            for row in self.rows
        ]


_TOLD = {
    (False, False): "all kept",
    (True, False): "some new",
    (False, True): "some left behind",
    (True, True): "some new and left behind",
}


def _layers(names: Sequence[str]) -> str:
    """The layers that these tensors belong to, the first few by name."""
    layers = dict.fromkeys(name.rpartition(".")[0] or name for name in names)
    return listed([*layers]) if layers else ""


def _has_another(record: RunRecord, config: TrainConfig) -> bool:
    """Whether a run with these settings has another model or other images."""
    return record.config.model != config.model or record.images != images_here(config.dataset)


def layers_of(record: RunRecord, config: TrainConfig, saved: Mapping[str, Sizes] | None = None) -> Layers | None:
    """What becomes of each tensor; None where model and images are as before.

    ``saved`` is what the checkpoint of a team's model holds, whose source may give it other tensors by now. Raises
    ``ConfigError`` if nothing would be kept, ``DataError``, ``ModelError``.
    """
    parent, own = record.description, describe(config.dataset)
    after = sizes_of(config.model, own.shape)
    has_others = saved is not None and dict(saved) != dict(after)
    if not (has_others or _has_another(record, config)):
        return None
    before = saved if saved is not None else sizes_of(record.config.model, parent.shape)
    other_classes = _head(config.model, own.shape) if parent.classes != own.classes else frozenset()
    rows = [_layer(name, before.get(name), after[name], name in other_classes) for name in after]
    left = [Layer(name, before[name], None, "left behind", "surplus") for name in before if name not in after]
    if not any(row.fate == "kept" for row in rows):
        raise ConfigError(texts.NOTHING_KEPT.format(model=config.model, parent=record.config.model, data=own.in_words))
    learned = learned_in(config.model, own.shape)
    counted = [*before] if saved is not None else learned_in(record.config.model, parent.shape)
    return Layers((*rows, *left), same_order=[name for name in counted if name in learned] == [*learned])


def saved_sizes(checkpoint: Path) -> dict[str, Sizes]:
    """Names and sizes of the weights in a checkpoint of this store. Raises ``RefusedFileError``, ``DiskError``."""
    content = read_saved_file(checkpoint).content
    state = content.get("model_state_dict") if isinstance(content, dict) else None
    return {name: one.shape for name, one in state.items()} if isinstance(state, dict) else {}


def _layer(name: str, before: Sizes | None, after: Sizes, is_of_other_classes: bool) -> Layer:
    if before is None:
        return Layer(name, None, after, "new", "absent")
    if before != after:
        return Layer(name, before, after, "new", "shape")
    return Layer(name, before, after, "new", "classes") if is_of_other_classes else Layer(name, before, after, "kept")


def _head(model: str, shape: Shape) -> frozenset[str]:
    """The tensors whose shape depends on the number of classes."""
    own, other = sizes_of(model, shape), shape.classes + 1 if shape.classes < MOST_CLASSES else shape.classes - 1
    try:
        sizes = sizes_of(model, Shape(*shape[:3], other))
    except ModelError:  # for this number alone: the last layer that gives as many numbers
        (*_, last) = ["", *(name for name, size in own.items() if size[:1] == (shape.classes,))]
        return frozenset(name for name in own if name.rpartition(".")[0] == last.rpartition(".")[0])
    return frozenset(name for name, size in own.items() if sizes.get(name, size) != size)


def frozen_of(run: Run, config: TrainConfig, layers: Layers | None, freeze: bool | None) -> tuple[str, ...]:
    """The tensors that a resume does not train: what is kept of a transfer but its head, or those of its parent.

    ``freeze`` None does as the parent did. Raises ``ConfigError`` if none can be frozen, ``DamagedFileError``,
    ``DataError``, ``ModelError``.
    """
    before = run.record.frozen
    if not (bool(before) if freeze is None else freeze):
        return ()
    if layers is None and before:
        _check_frozen(run)
        return before
    shape = describe(config.dataset).shape
    own, head, learned = sizes_of(config.model, shape), _head(config.model, shape), {*learned_in(config.model, shape)}
    kept = layers.names("kept") if layers else own
    found = tuple(name for name in kept if name not in head and (name in learned or not _may_move(name, own)))
    if not found or learned <= {*found}:
        raise ConfigError(texts.NOTHING_TO_FREEZE if head else texts.NO_HEAD.format(model=config.model))
    return found


def _may_move(buffer: str, names: Collection[str]) -> bool:
    """Whether a module keeps it that holds others too: its own code runs on while these are trained."""
    module = "".join(buffer.rpartition(".")[:2])
    return any("." in name.removeprefix(module) for name in names if name.startswith(module))


def trained_beside(config: TrainConfig, frozen: Sequence[str]) -> tuple[str, ...]:
    """The tensors that are not frozen, where some are."""
    own = sizes_of(config.model, describe(config.dataset).shape) if frozen else ()
    return tuple(name for name in own if name not in frozen)


def _check_frozen(run: Run) -> None:
    record = run.record
    if not {*record.frozen} <= sizes_of(record.config.model, record.description.shape).keys():
        raise DamagedFileError(run.record_path, UNKNOWN_FROZEN)
