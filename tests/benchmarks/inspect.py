"""What it costs to inspect a checkpoint of 500 MB, beside what torch needs to load it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from fashion_core.formats.inspect import inspect
from tests.benchmarks import Comparison, alternate
from tests.benchmarks.saving import mlp_checkpoint

ROUNDS = 5
BYTES = 500_000_000


def large_checkpoint(path: Path, size: int) -> None:
    """The tutorial's checkpoint with Adam's state, and one tensor of zeros that makes the file this large."""
    torch.save({**mlp_checkpoint(), "more": torch.zeros(size // 4)}, path)


def run() -> Comparison:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        large_checkpoint(path, BYTES)
        ways = {
            "torch.load": lambda: torch.load(path, weights_only=True),
            "inspect": lambda: inspect(path),
            "inspect with the numbers": lambda: inspect(path, numbers=True),
        }
        return Comparison("a checkpoint of 500 MB", "torch.load", alternate(ways, ROUNDS))
