"""The tutorial's three ways to save: weights only, the whole model, and a checkpoint to continue training from."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor, nn

from fashion_core import files
from fashion_core.errors import DamagedFileError

Checkpoint = dict[str, Any]
# The tutorial's; ``validate.OWN_KEYS`` are what this app adds.
CHECKPOINT_KEYS = frozenset({"epoch", "model_state_dict", "optimizer_state_dict", "loss"})


def save(
    path: Path, content: Checkpoint | nn.Module, before_replacing: Callable[[], object] = lambda: None
) -> files.Digest:
    """Write what ``torch.save`` makes of ``content``, whole or not at all. Raises ``DiskError``.

    It goes to the disk as it is made, so that a large model needs no second copy in memory. ``before_replacing`` is
    called once all is safe: the moment to unlist the old file, whose info would not fit the new one.
    """
    with files.writing(path, before_replacing=before_replacing) as file:
        torch.save(content, cast(IO[bytes], file))  # torch calls write and flush alone
    return file.digest


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint of this store on the CPU, plain types alone. Raises ``DamagedFileError`` or ``DiskError``."""
    with files.disk_errors(path):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            raise DamagedFileError(path, "torch can't read it") from error
    if not isinstance(content, dict) or not content.keys() >= CHECKPOINT_KEYS:
        raise DamagedFileError(path, "it is not a whole checkpoint")
    return content


def snapshot(tree: Any) -> Any:
    """Copy a tree so that training can continue: on the CPU, contiguous, so the same file wherever it was trained."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if isinstance(tree, dict):
        return type(tree)((key, snapshot(value)) for key, value in tree.items())
    if isinstance(tree, list | tuple):
        return type(tree)(map(snapshot, tree))
    return tree
