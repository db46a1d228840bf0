"""The optimizer in a saved file from anyone: where it is, and whether its state can be used here; without torch.

Whatever is wrong with it, the weights beside it can be used: resuming then starts a fresh optimizer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fashion_core.errors import RefusedFileError, printable
from fashion_core.formats.untrusted.blueprints import learned_in, sizes_of, without_gradient_in
from fashion_core.formats.untrusted.saved_file import SavedFile
from fashion_core.formats.untrusted.search import Keys
from fashion_core.formats.untrusted.state_dict import Weights
from fashion_core.formats.untrusted.values import MAX_KEY, SavedTensor, tensors_in
from fashion_core.models.layers import Sizes

FLOATS = frozenset({"float32", "float16", "bfloat16"})  # what becomes float32 without a change of any number
_SCALARS = FLOATS | {"float64", "int64", "int32"}
# Where a file holds several, the first of these; then the first in the file.
_USUAL_KEYS = ("optimizer_state_dict", "optimizer", "optimizer_states", "optim_state_dict", "optim", "opt")
# What changes the rule of an optimizer; this app's have none of them on.
_OTHER_OPTIONS = ("amsgrad", "nesterov", "dampening", "maximize", "differentiable")
_NUMBERS = ("lr", "initial_lr", "momentum", "weight_decay", "betas", "eps")  # which may be tensors
_MOST = 8  # optimizers that are looked at; a GAN has two
FROZEN_KEY: Final = "frozen"  # beside the tutorial's four keys of a checkpoint, where layers were frozen
_ADAM = frozenset({"step", "exp_avg", "exp_avg_sq"})  # what an optimizer keeps for each parameter
_SLOTS = {"sgd": frozenset({"momentum_buffer"}), "adam": _ADAM, "adamw": _ADAM}


@dataclass(frozen=True)
class SavedOptimizer:
    keys: Keys  # that lead to its state_dict
    name: str  # sgd, adam or adamw as this app makes them, else unknown
    settings: dict[str, Any]  # of its first group of parameters; a tensor of one number is that number
    tensors: tuple[SavedTensor, ...]
    state: dict[str, Any] | None  # as torch loads it for this app's model; None if it can't be used
    problem: str | None  # why not, as a clause

    @property
    def note(self) -> str | None:
        """What becomes of it, as a sentence, unless it is simply used."""
        return self.problem and f"{self.problem[:1].upper()}{self.problem[1:]}: resuming starts a fresh optimizer."


def find_optimizer(file: SavedFile, weights: Weights | None, numbers: bool = True) -> SavedOptimizer | None:
    """Find the optimizer that goes with these weights; ``numbers`` says whether to read all of its state's numbers.

    Of several, the first whose state fits is taken, the usual keys before others. Raises ``DiskError``.
    """
    there = sorted(file.contents.optimizers, key=lambda found: _rank(found[0]))[:_MOST]
    found = [_read(file, weights, keys, state) for keys, state in there]
    chosen = next((one for one in found if one.problem is None), found[0] if found else None)
    if chosen is None or chosen.state is None or not numbers:
        return chosen
    try:
        _check_numbers(file, chosen.state["state"])
    except RefusedFileError as error:
        return SavedOptimizer(chosen.keys, chosen.name, chosen.settings, chosen.tensors, None, error.reason)
    return chosen


def _rank(keys: Keys) -> int:
    return min((_USUAL_KEYS.index(key) for key in keys if key in _USUAL_KEYS), default=len(_USUAL_KEYS))


def _read(file: SavedFile, weights: Weights | None, keys: Keys, state: Mapping[Any, Any]) -> SavedOptimizer:
    first = next(iter(state["param_groups"]), None)
    group = dict(first) if isinstance(first, dict) else {}
    group |= {key: _number(file, group[key]) for key in _NUMBERS if key in group}
    settings = {str(key): value for key, value in group.items() if isinstance(key, str) and key != "params"}
    usable, problem = None, None
    if weights is not None and weights.model is not None:
        try:
            usable = _usable(file, state, group, weights)
        except RefusedFileError as error:
            problem = error.reason
    return SavedOptimizer(keys, optimizer_name(group), settings, tuple(tensors_in(state)), usable, problem)


def _number(file: SavedFile, value: Any) -> Any:
    """A tensor of one number as that number, also inside a list, as of ``betas``; anything else as it is."""
    if isinstance(value, SavedTensor) and value.numel == 1 and value.dtype in _SCALARS and file.shows(value):
        return file.numbers(value).item()
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], SavedTensor):
        return [_number(file, one) for one in value]
    return value


def optimizer_name(group: Mapping[Any, Any]) -> str:
    """Recognize what made a param_group by its keys: sgd, adam or adamw as this app makes them, else unknown."""
    return "unknown" if any(_is_on(group, option) for option in _OTHER_OPTIONS) else family(group)


def family(group: Mapping[Any, Any]) -> str:
    """The optimizer of this app whose settings mean the same as those of this param_group, else unknown."""
    if "betas" in group and group.get("decoupled_weight_decay"):
        return "adamw"
    if "amsgrad" in group:  # AdamW of torch before 2.7 looks like Adam
        return "adam"
    return "sgd" if "nesterov" in group else "unknown"


def _is_on(group: Mapping[Any, Any], option: str) -> bool:
    return group.get(option) not in (None, False, 0)


def _usable(file: SavedFile, state: Mapping[Any, Any], group: dict[Any, Any], weights: Weights) -> dict[str, Any]:
    """Its state_dict with parameters numbered as torch numbers them now. Raises ``RefusedFileError`` if it can't be."""
    assert weights.model is not None
    assert weights.shape is not None
    sizes, learned = sizes_of(weights.model, weights.shape), learned_in(weights.model, weights.shape)
    parameters = [sizes[name] for name in learned]
    _check_kind(state["param_groups"], group)
    ids = _ids(group.get("params"), len(parameters), weights)
    _check_settings(group)
    slots = state["state"]
    if not isinstance(slots, dict) or not all(isinstance(slot, dict) for slot in slots.values()):
        raise RefusedFileError("its optimizer's state is not a dict for each parameter")
    if not set(slots) <= set(ids):
        raise RefusedFileError("its optimizer keeps a state for parameters that it does not have")
    without = {name for name, one in zip(learned, ids, strict=True) if one not in slots}
    missing = without - frozen_in(file.content) - without_gradient_in(weights.model, weights.shape)
    if slots and missing:
        count = f"{len(missing)} of its {len(ids)} parameters"
        raise RefusedFileError(f"its optimizer keeps nothing for {count}, as where layers are frozen")
    numbered = {place: slots[one] for place, one in enumerate(ids) if one in slots}
    for place, slot in numbered.items():
        _check_slot(file, slot, parameters[place], _SLOTS[optimizer_name(group)])
    forms = {tuple(isinstance(slot[key], SavedTensor) for key in sorted(slot)) for slot in numbered.values()}
    if len(forms) > 1:  # momentum, or the count of steps
        raise RefusedFileError("its optimizer keeps tensors for some parameters alone")
    return {"state": numbered, "param_groups": [{**group, "params": list(range(len(ids)))}]}


def frozen_in(content: Any) -> frozenset[str]:
    """The tensors that a checkpoint of this app says were frozen, so that its optimizer keeps nothing for them."""
    names = content.get(FROZEN_KEY) if isinstance(content, dict) else None
    are_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return frozenset(names) if names and are_names else frozenset()


def _check_kind(groups: Sequence[Any], group: Mapping[Any, Any]) -> None:
    if len(groups) != 1:
        raise RefusedFileError(f"its optimizer has {len(groups)} groups of parameters, where this app's has one")
    if used := [option for option in _OTHER_OPTIONS if _is_on(group, option)]:
        raise RefusedFileError(f"its optimizer uses {used[0]}, which none of this app's does")
    if optimizer_name(group) == "unknown":
        raise RefusedFileError("its optimizer is not SGD, Adam or AdamW")


def _ids(ids: Any, count: int, weights: Weights) -> list[int]:
    """What the file calls each parameter, in the model's order: an index, or an address before torch 1.6."""
    if not isinstance(ids, list) or not all(type(one) is int for one in ids) or len(set(ids)) != len(ids):
        raise RefusedFileError("its optimizer does not give each of its parameters a number")
    if len(ids) != count:
        raise RefusedFileError(f"its optimizer was made for {len(ids)} parameters, where {weights.model} has {count}")
    if not weights.in_models_order:
        raise RefusedFileError(f"its optimizer counts the layers in another order than {weights.model}")
    return ids


def _check_settings(group: Mapping[Any, Any]) -> None:
    for key, value in group.items():
        values = value if isinstance(value, list | tuple) else [value]
        if key != "params" and not (isinstance(key, str) and all(map(is_plain, values))):
            raise RefusedFileError(f"its optimizer's {printable(str(key))[:40]} is not a finite number or a short text")
    if "betas" in group:  # torch accepts any values, and fails on the first step
        betas, eps = group["betas"], group.get("eps")
        numbers = [*betas, eps] if isinstance(betas, list | tuple) and len(betas) == 2 else [None]
        if not all(isinstance(number, float) and 0 <= number < 1 for number in numbers):
            raise RefusedFileError("its optimizer's betas and eps are not numbers from 0 to 1")


def _check_slot(file: SavedFile, slot: Mapping[Any, Any], parameter: Sizes, expected: frozenset[str]) -> None:
    """Allow only what torch's fused steps may read: they trust shapes, and read into other memory."""
    if set(slot) != expected:
        raise RefusedFileError(f"its optimizer's state does not hold exactly {', '.join(sorted(expected))}")
    for key, value in slot.items():
        if key == "step":
            _check_step(file, value)
        elif not isinstance(value, SavedTensor):
            if key != "momentum_buffer" or value is not None:
                raise RefusedFileError(f"its optimizer's {key} is not a tensor")
        elif value.shape != parameter:
            raise RefusedFileError(f"its optimizer's {key} has a different shape from its parameter")
        elif value.dtype not in FLOATS:
            raise RefusedFileError(f"its optimizer's {key} is {value.dtype}, which can't become float32")


def _check_step(file: SavedFile, value: Any) -> None:
    """A tensor, or a number in files of torch before 1.12."""
    step = _number(file, value) if not isinstance(value, SavedTensor) or value.shape == () else None
    if type(step) is bool or not isinstance(step, int | float) or not is_plain(step) or step < 0:
        raise RefusedFileError("its optimizer's step is not a number of 0 or more")


def is_plain(value: Any) -> bool:
    """None, true, false, a short text, or a finite number that fits 64 bits."""
    if isinstance(value, str):
        return len(value) <= MAX_KEY
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < 2**63)


def _check_numbers(file: SavedFile, slots: Mapping[int, Mapping[str, Any]]) -> None:
    for slot in slots.values():
        for key, value in slot.items():
            numbers = file.numbers(value) if isinstance(value, SavedTensor) else np.zeros(0)
            if bad := numbers.size - int(np.isfinite(numbers).sum()):
                raise RefusedFileError(f"its optimizer's {key} holds {bad:,} numbers that are nan or infinite")
            if key == "exp_avg_sq" and (numbers < 0).any():
                raise RefusedFileError("its optimizer's exp_avg_sq, a mean of squares, has numbers below 0")
