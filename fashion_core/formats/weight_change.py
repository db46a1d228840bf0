"""How far a model's tensors moved from one saved file to another, without torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fashion_core.errors import ComparisonError, counted, printable
from fashion_core.formats.untrusted.blueprints import COUNTER, STATISTICS
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.saved_file import SavedFile
from fashion_core.formats.untrusted.state_dict import find_weights
from fashion_core.formats.untrusted.values import SavedTensor

_ONE_DIFFERS = "The two files hold different models: {name} differs between them."
_MANY_DIFFER = (
    "The two files hold different models: {name} differs between them, the first of {count:,} tensors that do."
)


@dataclass(frozen=True)
class WeightChange:
    tensors: dict[str, float | None]  # ‖b − a‖ / ‖a‖ by the name in the model; None if it was all zero before
    overall: float | None  # the same of all learned tensors as one vector


def weight_change(first: Path, second: Path) -> WeightChange:
    """Measure the relative L2 change of each tensor between two files, in the model's order, without batch counters.

    Raises ``ComparisonError`` if the models differ, ``RefusedFileError`` if a file holds no weights, ``DiskError``.
    """
    before, after = read_saved_file(first), read_saved_file(second)
    old, new = _compared(before), _compared(after)
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (old, new)]
    if differing := [name for name in {**old, **new} if shapes[0].get(name) != shapes[1].get(name)]:
        raise ComparisonError(counted(len(differing), _ONE_DIFFERS, _MANY_DIFFER, name=printable(differing[0])))
    squares = {}
    for name in old:
        a, b = before.numbers(old[name]).astype(np.float64), after.numbers(new[name]).astype(np.float64)
        squares[name] = float(np.square(b - a).sum()), float(np.square(a).sum())
    learned = [pair for name, pair in squares.items() if not name.endswith(STATISTICS)]
    overall = _relative(sum(moved for moved, _ in learned), sum(length for _, length in learned))
    return WeightChange({name: _relative(*pair) for name, pair in squares.items()}, overall)


def _compared(file: SavedFile) -> dict[str, SavedTensor]:
    file.check_usable()
    return {name: found for name, found in find_weights(file).tensors.items() if not name.endswith(COUNTER)}


def _relative(moved: float, length: float) -> float | None:
    return float(np.sqrt(moved / length)) if length else None
