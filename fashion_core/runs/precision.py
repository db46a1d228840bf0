"""Which precision suits a device: bf16 only where it has instructions for that."""

from collections.abc import Iterable, Mapping
from typing import Any

from fashion_core.config import PRESETS, TrainConfig, parse_config
from fashion_core.errors import WorkerError
from fashion_core.runs import queue


def of_preset(name: str, given: Mapping[str, Any]) -> TrainConfig:
    """The settings of a preset with those ``given`` over them; unless one is given, a precision that suits the device.

    Raises ``ConfigError``, and ``WorkerError`` where the preset asks for bf16.
    """
    config = parse_config({**PRESETS[name].values, **given})
    if "precision" in given or _suits(config.precision, config.device):
        return config
    return config.model_copy(update={"precision": "fp32"})


def to_begin_with(name: str) -> TrainConfig:
    """What the form of a preset begins with: its own precision where the machine can't be asked.

    ``cautions``, which such a form shows too, raises the reason.
    """
    try:
        return of_preset(name, {})
    except WorkerError:
        return parse_config(PRESETS[name].values)


def cautions(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence for each device in these pairs of a precision and a device, if its precision does not suit it.

    Raises ``WorkerError``.
    """
    slow = dict.fromkeys(
        queue.machine().name_of(device) for precision, device in pairs if not _suits(precision, device)
    )
    return [
        f"The device {device} has no instructions for bf16: training can take several times as long there as in fp32."
        for device in slow
    ]


def _suits(precision: str, device: str) -> bool:
    """Also if there is no such device, for then nothing will be slow; the machine is asked only about bf16."""
    if precision != "bf16":
        return True
    here = queue.machine()
    return here.has_bf16(device) or not here.has(device)
