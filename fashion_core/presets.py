"""What a preset's settings are on this machine, and which settings this machine is slow at."""

from collections.abc import Callable
from typing import Any

from fashion_core import jobs
from fashion_core.config import PRESETS, TrainConfig

Ask = Callable[[], jobs.Machine]
"""Asked only where the answer matters: it may have to wait for a process that imports torch."""


def values(name: str, machine: Ask = jobs.machine) -> dict[str, Any]:
    """The settings of this preset: fp32 in the place of bf16 where there are no instructions for bf16.

    Raises ``WorkerError``.
    """
    preset = dict(PRESETS[name].values)
    if preset.get("precision") == "bf16" and not _multiplies_bf16("auto", machine()):
        preset["precision"] = "fp32"
    return preset


def caution(config: TrainConfig, machine: Ask = jobs.machine) -> str | None:
    """A sentence about settings that take much longer here than they need to. Raises ``WorkerError``."""
    if config.precision != "bf16" or _multiplies_bf16(config.device, machine()):
        return None
    return "This device has no instructions for bf16: here it can take several times as long as fp32."


def _multiplies_bf16(device: str, machine: jobs.Machine) -> bool:
    name = machine.automatic if device == "auto" else device
    return name in machine.bf16 or f"{name}:0" in machine.bf16
