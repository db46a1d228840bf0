"""The one place that imports torchvision."""

import sys
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """Import torchvision so that ``datasets`` and ``models`` work even beside a CPU build of torch.

    There the compiled operators of PyPI's torchvision can't be loaded, and its import fails where it registers shapes
    for two of them. Declaring these two without any code lets it pass; datasets, transforms and models never call them.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            library.define(schema)
        _declared.append(library)  # the operators vanish with the object
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision
    return torchvision  # type: ignore[no-any-return]
