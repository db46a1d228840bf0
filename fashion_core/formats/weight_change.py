"""How far a model's tensors moved from one saved file to another, without torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fashion_core.errors import ComparisonError, printable
from fashion_core.formats.untrusted.readers import read_saved_file
from fashion_core.formats.untrusted.state_dict import COUNTER, STATISTICS, StateDict, find_weights


@dataclass(frozen=True)
class WeightChange:
    """‖b − a‖ / ‖a‖ of each tensor, by its name in the model, or None if it was all zero before.

    ``overall`` is that of all learned tensors as one vector.
    """

    tensors: dict[str, float | None]
    overall: float | None


def weight_change(first: Path, second: Path) -> WeightChange:
    """Measure the relative L2 change of each tensor from the first file to the second, in the model's order.

    Counters of batches are left out. Raises ``ComparisonError`` if the models differ, ``RefusedFileError`` if a file
    holds no weights, ``DiskError``.
    """
    before, after = read_saved_file(first), read_saved_file(second)
    old, new = find_weights(before.content).tensors, find_weights(after.content).tensors
    _check_same_model(old, new)
    squares = {}
    for name in old:
        if not name.endswith(COUNTER):
            a = before.numbers(old[name]).astype(np.float64)
            b = after.numbers(new[name]).astype(np.float64)
            squares[name] = float(np.square(b - a).sum()), float(np.square(a).sum())
    learned = [pair for name, pair in squares.items() if not name.endswith(STATISTICS)]
    overall = _relative(sum(moved for moved, _ in learned), sum(length for _, length in learned))
    return WeightChange({name: _relative(*pair) for name, pair in squares.items()}, overall)


def _check_same_model(first: StateDict, second: StateDict) -> None:
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (first, second)]
    differing = [name for name in {**first, **second} if shapes[0].get(name) != shapes[1].get(name)]
    if differing:
        more = f", nor are {len(differing) - 1} more" if len(differing) > 1 else ""
        raise ComparisonError(
            f"The two files hold different models: {printable(differing[0])} differs between them{more}."
        )


def _relative(moved: float, length: float) -> float | None:
    return float(np.sqrt(moved / length)) if length else None
