"""Files of a team's own models with something in them that those models never save; for a process that knows them."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import safetensors.torch
import torch
from torch import nn

from fashion_core.formats.export import as_program
from fashion_core.models import build_model
from tests.hostile.building import Case, archive, four_keys, members_of, repickled, saved
from tests.hostile.opcodes import named

Change = Callable[[Any], object]  # what is done to a model before it is saved


def _set(path: str, value: Any) -> Change:
    def change(model: nn.Module) -> None:
        *layers, attribute = path.split(".")
        vars(model.get_submodule(".".join(layers)))[attribute] = value

    return change


RESIDUAL: dict[str, Change] = {
    "another dropout": _set("blocks.0.dropout", 0.9),
    "dropout as text": _set("blocks.0.dropout", "0.1"),
    "dropout as a layer": _set("blocks.0.dropout", nn.Dropout(0.1)),
    "dropout as a class": _set("blocks.0.dropout", nn.Dropout),
    "no dropout": lambda model: vars(model.blocks[0]).pop("dropout"),
    "another stride": _set("stem.stride", (1, 1)),
    "another padding": _set("blocks.1.conv1.padding", (0, 0)),
    "another eps": _set("blocks.0.norm1.eps", 1.0),
    "another momentum": _set("blocks.0.norm1.momentum", None),
    "no shortcut": lambda model: model.blocks[1]._modules.__setitem__("shortcut", None),
    "a shortcut more": lambda model: model.blocks[0]._modules.__setitem__("shortcut", nn.Conv2d(16, 16, 1, bias=False)),
    "an empty shortcut": lambda model: model.blocks[0]._modules.__setitem__("shortcut", nn.Identity()),
    "forward replaced": _set("forward", nn.ReLU()),
    "forward of a block replaced": _set("blocks.0.forward", nn.ReLU()),
    "forward of a layer replaced by a class": _set("stem.forward", nn.Conv2d),
    "__call__ planted": _set("blocks.1.__call__", nn.ReLU()),
    "state_dict shadowed": _set("state_dict", OrderedDict()),
    "__class__ planted": _set("blocks.0.__class__", nn.Linear),
    "__setstate__ planted": _set("__setstate__", nn.Linear),
    "a forward hook": _set("blocks.0._forward_hooks", OrderedDict({0: nn.ReLU()})),
    "a hook before loading": _set("_load_state_dict_pre_hooks", OrderedDict({0: nn.ReLU()})),
    "a hook of its own kind": _set("blocks.0._my_hooks", {0: True}),
    "an attribute more": _set("blocks.0.secret", 1),
    "a buffer more": lambda model: model.blocks[0].register_buffer("extra", torch.zeros(1)),
    "a buffer more that is not saved": lambda model: model.register_buffer("extra", torch.zeros(1), persistent=False),
    "a buffer that is not saved any more": _set("blocks.0.norm1._non_persistent_buffers_set", {"running_mean"}),
    "a parameter more": lambda model: model.register_parameter("extra", nn.Parameter(torch.zeros(1))),
    "an empty parameter": lambda model: model.register_parameter("extra", None),
    "a layer more": lambda model: model.add_module("extra", nn.ReLU()),
    "a block more": lambda model: model.blocks.append(nn.Identity()),
    "blocks in another order": lambda model: setattr(
        model.blocks, "_modules", dict(reversed(model.blocks._modules.items()))
    ),
    "a block that is another layer": lambda model: setattr(model.blocks[0], "__class__", nn.Sequential),
    "blocks in a Sequential": lambda model: setattr(model.blocks, "__class__", nn.Sequential),
    "another batch norm": lambda model: setattr(model.blocks[0].norm1, "__class__", nn.BatchNorm1d),
    "training as a number": _set("blocks.0.training", 7),
    "a model in itself": lambda model: model.blocks[0].add_module("again", model),
    "a weight twice": lambda model: setattr(model.blocks[0], "conv2", model.blocks[0].conv1),
    "nan weights": lambda model: nn.init.constant_(model.head.weight, float("nan")),
    "infinite statistics": lambda model: model.blocks[1].norm2.running_var.fill_(float("inf")),
    "double weights": lambda model: model.double(),
    "whole numbers for weights": lambda model: setattr(
        model.head, "weight", nn.Parameter(torch.zeros(10, 32, dtype=torch.int64), requires_grad=False)
    ),
    "a class more outputs": lambda model: setattr(model, "head", nn.Linear(32, 11)),
}


def _blocks(model: Any) -> dict[str, nn.Module]:
    return dict(model.blocks.named_children())


@cache
def _settled() -> bytes:
    """A whole model with functions, classes and texts among its settings."""
    return saved(build_model("settled", seed=0))


def _changed(name: str, change: Change) -> bytes:
    model = build_model(name, seed=0)
    change(model)
    return saved(model)


def changed_models() -> Iterator[Case]:
    for name, change in RESIDUAL.items():
        yield f"residual with {name}", partial(_changed, "residual", change)
    yield "lenet with another pool", partial(_changed, "lenet", _set("features.2.kernel_size", 3))
    yield "lenet with another activation", partial(_changed, "lenet", lambda m: m.features.__setitem__(1, nn.Sigmoid()))
    yield "flat with another scale", partial(_changed, "flat", _set("scale", 3.0))
    yield "flat with a scale that is a tensor", partial(_changed, "flat", _set("scale", torch.ones(1)))
    yield "settled with another limit", partial(_changed, "settled", _set("limits", (1.5, 1)))
    yield "settled with another text", partial(_changed, "settled", _set("names", ["two", {"two": (2, None)}]))
    yield "settled with another function", partial(_changed, "settled", _set("activation", nn.functional.gelu))
    yield (
        "settled with functions in another order",
        partial(_changed, "settled", _set("steps", [nn.functional.gelu, nn.functional.relu])),
    )
    yield "tied that is untied", partial(_changed, "tied", _untie)


def _untie(model: Any) -> None:
    model.again.weight = nn.Parameter(model.middle.weight.detach() + 1)


_RELU = b"ctorch.nn.functional\nrelu\n"
_BLOCK, _NET = b"cresidual_models\nResidualBlock\n", b"cresidual_models\nResidualNet\n"


def other_names() -> Iterator[Case]:
    for module, name in (("os", "system"), ("builtins", "eval"), ("posix", "system"), ("subprocess", "Popen")):
        fragment = named(module, name)
        yield f"settled with {module}.{name} as a setting", partial(_replaced, _settled, _RELU, fragment)
        yield f"residual of the class {module}.{name}", partial(_replaced, _residual, _NET, fragment)
        yield f"residual with blocks of the class {module}.{name}", partial(_replaced, _residual, _BLOCK, fragment)
    elsewhere = named("evil_models", "ResidualBlock")
    yield "residual with blocks of another module", partial(_replaced, _residual, _BLOCK, elsewhere)
    yield "residual of another class", partial(_replaced, _residual, _NET, named("residual_models", "Residual"))
    yield "residual of the class of a block", partial(_replaced, _residual, _NET, _BLOCK)
    yield "residual with blocks of its own class", partial(_replaced, _residual, _BLOCK, _NET)
    yield "residual of the class of lenet", partial(_replaced, _residual, _NET, named("lenet_models", "LeNet"))
    yield (
        "residual of a class of this app",
        partial(_replaced, _residual, _NET, named("fashion_core.models", "NeuralNetwork")),
    )
    called = _BLOCK + b"K\x10K\x10\x86R"
    yield "checkpoint with a block that is made", partial(_noted, called)
    yield "checkpoint with the module's list of models", partial(_noted, named("residual_models", "MODELS"))
    yield "checkpoint with a function of the module", partial(_noted, named("zoo", "_double"))


@cache
def _residual() -> bytes:
    return saved(build_model("residual", seed=0))


def _replaced(make: Callable[[], bytes], before: bytes, after: bytes) -> bytes:
    data = make()
    assert before in members_of(data)["archive/data.pkl"]
    return repickled(data, lambda old: old.replace(before, after))


_PLACE = "@@HERE@@"


def _checkpoint(name: str, **beside: Any) -> bytes:
    model = build_model(name, seed=0)
    return saved({**four_keys(model, torch.optim.Adam(model.parameters())), **beside})


def _noted(fragment: bytes) -> bytes:
    text = b"X" + len(_PLACE).to_bytes(4, "little") + _PLACE.encode()
    return repickled(_checkpoint("residual", note=_PLACE), lambda old: old.replace(text, fragment))


def changed_states() -> Iterator[Case]:
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "without a weight": lambda state: state.pop("head.weight"),
        "without statistics": lambda state: state.pop("blocks.0.norm1.running_mean"),
        "with another shape": lambda state: state.update({"head.weight": torch.zeros(10, 33)}),
        "with nan": lambda state: state["head.weight"].fill_(float("nan")),
        "of double precision": lambda state: state.update({"head.weight": torch.zeros(10, 32, dtype=torch.float64)}),
        "with complex numbers": lambda state: state.update({"head.bias": torch.zeros(10, dtype=torch.complex64)}),
        "with a sparse tensor": lambda state: state.update({"head.weight": torch.zeros(10, 32).to_sparse()}),
        "with a weight without numbers": lambda state: state.update(
            {"head.weight": torch.empty(10, 32, device="meta")}
        ),
        "with a list for a weight": lambda state: state.update({"head.weight": [0.0] * 320}),
        "with weights that repeat one number": lambda state: state.update(
            {"head.weight": torch.zeros(1).expand(2_000, 2_000)}
        ),
    }
    for name, change in changes.items():
        yield f"weights {name}", partial(_state, change, saved)
        if "sparse" not in name and "without numbers" not in name and "list" not in name and "repeat" not in name:
            yield f"safetensors {name}", partial(_state, change, safetensors.torch.save)


def _state(change: Callable[[dict[str, Any]], object], write: Callable[[Any], bytes]) -> bytes:
    state = dict(build_model("residual", seed=0).state_dict())
    change(state)
    return write(state)


def damaged() -> Iterator[Case]:
    kinds: dict[str, Callable[[], bytes]] = {
        "model": _residual,
        "checkpoint": partial(_checkpoint, "residual"),
        "safetensors": lambda: safetensors.torch.save(dict(build_model("residual", seed=0).state_dict())),
        "program": lambda: as_program(build_model("residual", seed=0), {}),
    }
    for kind, make in kinds.items():
        yield f"half a {kind}", partial(_half, make)
    for kind in ("model", "checkpoint", "program"):
        yield f"{kind} with a flipped bit", partial(_flipped, kinds[kind])
    yield "program with other weights", partial(_swapped, kinds["program"])


def _half(make: Callable[[], bytes]) -> bytes:
    data = make()
    return data[: len(data) // 2]


def _flipped(make: Callable[[], bytes]) -> bytes:
    data = bytearray(make())
    data[len(data) // 2] ^= 1
    return bytes(data)


def _swapped(make: Callable[[], bytes]) -> bytes:
    """Its numbers are those of a smaller file."""
    members = members_of(make())
    largest = max((name for name in members if "/weights/" in name), key=lambda name: len(members[name]))
    return archive({**members, largest: members[largest][:-4]})


def corpus() -> Iterator[Case]:
    for family in (changed_models, other_names, changed_states, damaged):
        for name, make in family():
            yield f"{family.__name__.replace('_', ' ')}: {name}", make
