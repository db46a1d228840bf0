"""Check after training whether a resumed run equals its uninterrupted parent, bit for bit."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fashion_core.cache import Cache, stamp
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.formats.untrusted.values import named_tensors
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Message

_MEASURED = ("loss", "accuracy", "train_loss")
_COMPARED_KEYS = ("model_state_dict", "optimizer_state_dict")


@dataclass(frozen=True)
class BitwiseCheck:
    """How the epochs that both parent and child trained compare."""

    kind: Literal["identical", "different", "none"]  # none if there is no such epoch yet, and of a transfer
    epoch: int | None = None  # the first one that differs; the last one compared if all are identical
    tensors: int = 0  # of two checkpoints; 0 if no epoch has both of them any more
    reasons: tuple[Message | str, ...] = ()  # why they may differ, from what was different at the start


def check_bitwise(child: Run, parent: Run) -> BitwiseCheck:
    """Compare what was measured in every epoch, and all numbers of the newest epoch that both still have saved.

    Raises ``DamagedFileError`` if one of those checkpoints is no longer what was saved, ``DiskError``.
    """
    saved = max({*child.epochs_saved()} & {*parent.epochs_saved()}, default=None)
    checkpoints = [] if saved is None else [run.checkpoint_path(saved) for run in (child, parent)]
    read_from = (child.record_path, child.metrics_path, parent.metrics_path, *checkpoints)
    stamped = stamp(*read_from, *map(Run.info_path, checkpoints))
    return _checks.get((child.path, parent.path), stamped, lambda: _check(child, parent, saved))


_checks: Cache[BitwiseCheck] = Cache(1024)


def _check(child: Run, parent: Run, saved: int | None) -> BitwiseCheck:
    ours, theirs = measured(child), measured(parent)
    both = sorted(theirs.keys() & ours.keys())
    if not both:
        return BitwiseCheck("none")
    resumption = child.record.resumption
    if child.record.is_transfer:
        return BitwiseCheck("none")
    reasons = resumption.reasons if resumption else ()
    for epoch in both:
        if theirs[epoch] != ours[epoch]:
            return BitwiseCheck("different", epoch, reasons=reasons)
    tensors = 0 if saved is None else identical_tensors(child, parent, saved)
    if tensors is None:
        return BitwiseCheck("different", saved, reasons=reasons)
    return BitwiseCheck("identical", both[-1], tensors)


def measured(run: Run) -> dict[int, list[float]]:
    """What each epoch that has ended measured. Raises ``DiskError``."""
    return {row["epoch"]: [row[key] for key in _MEASURED] for row in metrics.read_epochs(run.metrics_path)}


def identical_tensors(child: Run, parent: Run, epoch: int) -> int | None:
    """How many tensors have the same bits in both runs' checkpoints of this epoch; None if any differs.

    Raises ``DamagedFileError`` if one of them is no longer what was saved, ``DiskError``.
    """
    files = [read_saved_file(run.whole_checkpoint(epoch)) for run in (child, parent)]
    ours, theirs = (dict(named_tensors({key: file.content.get(key) for key in _COMPARED_KEYS})) for file in files)
    if ours.keys() != theirs.keys():
        return None
    for name, tensor in ours.items():
        a, b = files[0].numbers(tensor), files[1].numbers(theirs[name])
        if a.dtype != b.dtype or not np.array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}")):
            return None
    return len(ours)
