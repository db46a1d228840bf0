"""Check after training whether a resumed run equals its uninterrupted parent, bit for bit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fashion_core.cache import Cache, stamp
from fashion_core.formats.untrusted.readers import read_saved_file
from fashion_core.formats.untrusted.values import named_tensors
from fashion_core.runs import metrics
from fashion_core.runs.run import Run

_OWN = ("loss", "accuracy", "train_loss")
_COMPARED_KEYS = ("model_state_dict", "optimizer_state_dict")


@dataclass(frozen=True)
class BitwiseCheck:
    """How the epochs that both parent and child trained compare.

    Attributes:
        kind: ``none`` if there is no such epoch yet.
        epochs: the epochs that both have.
        epoch: the first one that differs; the last one compared if all are identical.
        tensors: how many tensors of that epoch's two checkpoints were compared; 0 if one of them was deleted.
        reasons: why they may differ, from what was different at the start.
    """

    kind: Literal["identical", "different", "none"]
    epochs: tuple[int, ...] = ()
    epoch: int | None = None
    tensors: int = 0
    reasons: tuple[str, ...] = ()


def check_bitwise(child: Run, parent: Run) -> BitwiseCheck:
    """Compare losses of every epoch, and all numbers of the last one's checkpoints.

    Raises ``DamagedFileError`` if one of those checkpoints is no longer what was saved, ``DiskError``.
    """
    both = max({*child.epochs_saved()} & {*parent.epochs_saved()}, default=None)
    compared = [] if both is None else [run.checkpoint_path(both) for run in (child, parent)]
    read_from = (
        child.record_path,
        *(path for run in (child, parent) for path in (run.metrics_path, run.checkpoint_folder)),
        *compared,
        *map(Run.info_path, compared),
    )
    return _checks.get((child.path, parent.path), stamp(*read_from), lambda: _check(child, parent))


_checks: Cache[BitwiseCheck] = Cache(1024)


def _check(child: Run, parent: Run) -> BitwiseCheck:
    theirs, ours = _epochs(parent), _epochs(child)
    both = tuple(sorted(theirs.keys() & ours.keys()))
    if not both:
        return BitwiseCheck("none")
    resumption = child.record.resumption
    reasons = resumption.reasons if resumption else ()
    for epoch in both:
        if theirs[epoch] != ours[epoch]:
            return BitwiseCheck("different", both, epoch, reasons=reasons)
    last = both[-1]
    tensors = _identical_tensors(_whole(parent, last), _whole(child, last))
    if tensors is None:
        return BitwiseCheck("different", both, last, reasons=reasons)
    return BitwiseCheck("identical", both, last, tensors)


def _whole(run: Run, epoch: int) -> Path | None:
    """The checkpoint of this epoch; None once it is deleted."""
    return run.whole_checkpoint(epoch) if epoch in run.epochs_saved() else None


def _epochs(run: Run) -> dict[int, tuple[Any, ...]]:
    return {row["epoch"]: tuple(row[key] for key in _OWN) for row in metrics.read_epochs(run.metrics_path)}


def _identical_tensors(one: Path | None, other: Path | None) -> int | None:
    """How many tensors have the same bits in both files, 0 if one file was deleted; None if any differs."""
    if one is None or other is None:
        return 0
    files = (read_saved_file(one), read_saved_file(other))
    first, second = (dict(named_tensors({key: file.content.get(key) for key in _COMPARED_KEYS})) for file in files)
    if first.keys() != second.keys():
        return None
    for name, tensor in first.items():
        a, b = files[0].numbers(tensor), files[1].numbers(second[name])
        if a.dtype != b.dtype or not np.array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}")):
            return None
    return len(first)
