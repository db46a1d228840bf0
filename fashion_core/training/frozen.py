"""Layers that training leaves as they are: no gradient moves their parameters, no batch their running statistics."""

from collections.abc import Collection

from torch import nn

from fashion_core.errors import DamagedFileError
from fashion_core.runs.run import UNKNOWN_FROZEN, Run

_NOTHING_TRAINS = "all tensors of its model are frozen, so that nothing would be trained"


def freeze(model: nn.Module, run: Run) -> list[nn.Module]:
    """Freeze what the run's record says, and return the modules that have to be in ``eval`` mode while it trains.

    A parameter without a gradient is none that an optimizer moves, by weight decay or momentum either. Raises
    ``DamagedFileError`` if the model does not have what is named, or nothing would be left to train.
    """
    names = frozenset(run.record.frozen)
    if not names <= model.state_dict().keys():
        raise DamagedFileError(run.record_path, UNKNOWN_FROZEN)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if name in names:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise DamagedFileError(run.record_path, _NOTHING_TRAINS)
    return [module for name, module in model.named_modules() if _stays(name, module, names)]


def _stays(name: str, module: nn.Module, frozen: Collection[str]) -> bool:
    """Whether all that it holds is frozen, or it is a single layer with a buffer that is."""
    own = [f"{name}.{key}" for key in module.state_dict()]
    is_layer = not any(module.children())
    buffers = [f"{name}.{key}" for key, _ in module.named_buffers(recurse=False)] if is_layer else []
    return (bool(own) and all(one in frozen for one in own)) or any(one in frozen for one in buffers)
