"""Walk through what was read from a file once, and note each tensor and each optimizer's state where it stands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fashion_core.formats.untrusted.values import MAX_DEPTH, MAX_KEY, Record, SavedTensor

Keys = tuple[str | int, ...]

# Names that a layer gets when torch or a library wraps it: DataParallel, torch.compile, Opacus, FSDP, DeepSpeed.
WRAPPERS = frozenset(
    ("module", "_orig_mod", "_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
)
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_HOLDERS = (SavedTensor, dict, list, tuple)  # a union takes three times as long, for each of many thousand values


@dataclass(frozen=True, eq=False)
class FoundTensor:
    """A tensor and the keys that lead to it; ``root`` is the outermost pickled module that it is a part of."""

    keys: Keys
    tensor: SavedTensor
    place: int  # how many tensors come before it in the file
    root: Record | None = None
    root_keys: Keys = ()  # that lead to ``root``

    @cached_property
    def name(self) -> str:
        return ".".join(map(str, self.keys))

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The parts of its name, without those that only say what its layers were wrapped in."""
        return parts_of(self.keys)

    @property
    def holder(self) -> Keys:
        """The keys that lead to the dict, list or outermost module that it is in."""
        return self.root_keys if self.root else self.keys[:-1]


@dataclass(frozen=True)
class Contents:
    tensors: list[FoundTensor] = field(default_factory=list)  # outside of optimizers, in the file's order
    optimizers: list[tuple[Keys, Mapping[Any, Any]]] = field(default_factory=list)


def parts_of(keys: Keys) -> tuple[str, ...]:
    return tuple(part for key in keys for part in str(key).split(".") if part not in WRAPPERS)


def search(content: Any) -> Contents:
    """Enter each dict, list and pickled module once, however often it is shared, as deep as a model may be."""
    found, seen = Contents(), set()
    waiting: list[tuple[Keys, int, Any, Record | None, Keys]] = [((), 0, content, None, ())]
    while waiting:
        keys, letters, value, root, root_keys = waiting.pop()
        if isinstance(value, SavedTensor):
            found.tensors.append(FoundTensor(keys, value, len(found.tensors), root, root_keys))
        elif is_optimizer(value):
            found.optimizers.append((keys, value))
        elif id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Record) and root is None:
                root, root_keys = value, keys
            for key, inner in reversed(list(_inside(value))):
                length = letters + _length(key)
                if len(keys) < MAX_DEPTH and length <= MAX_KEY:
                    waiting.append(((*keys, *key), length, inner, root, root_keys))
    return found


def is_optimizer(value: Any) -> bool:
    """Whether it is a dict as an optimizer's ``state_dict`` gives it, sound or not."""
    return isinstance(value, dict) and isinstance(value.get("param_groups"), list) and "state" in value


def _length(key: Keys) -> int:
    """The letters that a key adds to a name, with its dot."""
    return len(key) + len(key[0]) if key and isinstance(key[0], str) else len(key)


def _inside(value: Any) -> Iterator[tuple[Keys, Any]]:
    """What may be or hold a tensor, with its key; a layer has its parts' names, as in a state_dict."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str | int) and (_may_hold(inner) or isinstance(inner, Record)):
                yield (key,), inner
    elif isinstance(value, list | tuple):
        yield from (((index,), inner) for index, inner in enumerate(value) if _may_hold(inner))
    elif isinstance(value, Record) and isinstance(value.state, dict) and value.state.keys() & set(_MODULE_PARTS):
        yield from (((), value.state.get(part)) for part in _MODULE_PARTS if isinstance(value.state.get(part), dict))
    elif isinstance(value, Record) and _may_hold(value.state):
        yield (), value.state


def _may_hold(value: Any) -> bool:
    return bool(value) and isinstance(value, _HOLDERS)
