"""Which precision suits a device: bf16 only where it has instructions for that."""

from collections.abc import Iterable, Mapping
from typing import Any

from fashion_core import jobs
from fashion_core.config import PRESETS, TrainConfig, parse_config
from fashion_core.resumptions import Plan


def of_preset(name: str, given: Mapping[str, Any]) -> TrainConfig:
    """The settings of a preset with those ``given`` over them; unless one is given, a precision that suits the device.

    Raises ``ConfigError``, and where the preset asks for bf16 ``DeviceError`` and ``WorkerError``.
    """
    config = parse_config({**PRESETS[name].values, **given})
    if "precision" in given or caution(config) is None:
        return config
    return config.model_copy(update={"precision": "fp32"})


def caution(config: TrainConfig, device: str | None = None) -> str | None:
    """A sentence if the precision does not suit the device that will compute: this one, or the one of the settings.

    Raises ``DeviceError`` or ``WorkerError``; the machine is asked only about bf16.
    """
    if config.precision != "bf16":
        return None
    device = device or jobs.environment_for(config).device
    if jobs.machine().multiplies_bf16(device):
        return None
    return f"{device} has no instructions for bf16, so that it can take several times as long as fp32: choose fp32."


def cautions(plans: Iterable[Plan]) -> list[str]:
    """Those about resumed runs, each once. Raises ``WorkerError``."""
    found = [caution(plan.config, plan.environment.device) for plan in plans]
    return list(dict.fromkeys(filter(None, found)))
