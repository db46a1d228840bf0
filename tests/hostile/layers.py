"""Whole models of nothing but known names, with something in them that a saved model never has."""

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from fashion_core.models import build_model
from tests.hostile.building import Case, holding_place, real_file, repickled, saved, torch_file
from tests.hostile.opcodes import call, get, listed, mapping, named, number, put, text, whole

Change = Callable[[Any], None]  # what is done to a model before it is saved


def _changed(name: str, change: Change) -> bytes:
    model = build_model(name, seed=0)
    change(model)
    return saved(model)


def _set(path: str, value: Any) -> Change:
    def change(model: nn.Module) -> None:
        *layers, attribute = path.split(".")
        vars(model.get_submodule(".".join(layers)))[attribute] = value

    return change


MLP_CHANGES: dict[str, Change] = {
    "forward replaced by a layer": _set("forward", nn.ReLU()),
    "forward of a layer replaced": _set("linear_relu_stack.0.forward", nn.Flatten()),
    "forward replaced by a class": _set("forward", nn.Linear),
    "__call__ planted": _set("__call__", nn.ReLU()),
    "_call_impl replaced": _set("_call_impl", nn.ReLU()),
    "_wrapped_call_impl replaced": _set("_wrapped_call_impl", nn.ReLU()),
    "_compiled_call_impl planted": lambda model: model.__setstate__({**vars(model), "_slow_forward": nn.ReLU()}),
    "state_dict shadowed": _set("state_dict", OrderedDict()),
    "load_state_dict shadowed": _set("load_state_dict", nn.ReLU()),
    "eval shadowed": _set("eval", nn.ReLU()),
    "__class__ planted": _set("__class__", nn.Linear),
    "__dict__ planted": _set("__dict__", {}),
    "__setstate__ planted": _set("__setstate__", nn.Linear),
    "__reduce__ planted": _set("linear_relu_stack.1.__reduce__", nn.Linear),
    "an attribute of its own": _set("secret", 1),
    "training is a number": _set("training", 7),
    "start_dim of Flatten": _set("flatten.start_dim", 0),
    "end_dim of Flatten": _set("flatten.end_dim", -2),
    "start_dim as text": _set("flatten.start_dim", "1"),
    "start_dim as true": _set("flatten.start_dim", True),
    "in_features lies": _set("linear_relu_stack.0.in_features", 783),
    "inplace of ReLU": _set("linear_relu_stack.1.inplace", 1),
    "flatten is None": lambda model: model._modules.__setitem__("flatten", None),
    "flatten is a number": lambda model: model._modules.__setitem__("flatten", 1),
    "_modules is a list": _set("_modules", [1]),
    "no start_dim": lambda model: vars(model.flatten).pop("start_dim"),
    "a name of a buffer that is not there": _set("flatten._non_persistent_buffers_set", {"ghost"}),
    "a parameter that is a number": _set("linear_relu_stack.0._parameters", {"weight": 1, "bias": None}),
    "_parameters is a number": _set("flatten._parameters", 3),
    "_non_persistent_buffers_set is a number": _set("flatten._non_persistent_buffers_set", 5),
    "_non_persistent_buffers_set is a tensor": _set("_non_persistent_buffers_set", torch.zeros(2)),
    "_non_persistent_buffers_set hides weights": _set("linear_relu_stack.0._non_persistent_buffers_set", {"weight"}),
    "a layer more": lambda model: model.add_module("extra", nn.ReLU()),
    "a parameter more": lambda model: model.register_parameter("extra", nn.Parameter(torch.zeros(1))),
    "a buffer more": lambda model: model.register_buffer("extra", torch.zeros(1)),
    "a buffer more that is not saved": lambda model: model.register_buffer("extra", torch.zeros(1), persistent=False),
    "an empty parameter": lambda model: model.register_parameter("extra", None),
    "a layer that is its own child": lambda model: model.flatten.add_module("again", model),
    "another activation": lambda model: model.linear_relu_stack.__setitem__(1, nn.Sigmoid()),
    "another known layer": lambda model: model.linear_relu_stack.__setitem__(1, nn.Dropout(0.0)),
    "a layer that changes nothing": lambda model: model.linear_relu_stack.__setitem__(1, nn.Sequential()),
    "layers of a Sequential in another order": lambda model: _reorder(model.linear_relu_stack, "10234"),
    "parts of the model in another order": lambda model: _reorder(model, ["linear_relu_stack", "flatten"]),
    "weights under dotted names": lambda model: model.__dict__.update(
        _parameters=dict(model.named_parameters()), _modules={}
    ),
    "a subclass of Tensor": lambda model: _set("extra", torch.nn.Buffer(torch.zeros(1)))(model),
    "a tensor with attributes": lambda model: setattr(model.linear_relu_stack[0].weight, "note", "x"),
}
CNN_CHANGES: dict[str, Change] = {
    "stride of Conv2d": _set("features.4.stride", (2, 2)),
    "padding of Conv2d": _set("features.0.padding", (0, 0)),
    "padding as text": _set("features.0.padding", "same"),
    "dilation of Conv2d": _set("features.0.dilation", (2, 2)),
    "padding_mode of Conv2d": _set("features.0.padding_mode", "circular"),
    "hidden padding of Conv2d": _set("features.0._reversed_padding_repeated_twice", [9, 9, 9, 9]),
    "kernel_size of Conv2d": _set("features.0.kernel_size", (3.0, 3.0)),
    "kernel_size of a thousand numbers": _set("features.0.kernel_size", (3,) * 1000),
    "eps of BatchNorm": _set("features.1.eps", 1e-3),
    "momentum of BatchNorm": _set("features.1.momentum", 0.9),
    "track_running_stats of BatchNorm": _set("features.1.track_running_stats", False),
    "stride of MaxPool2d": _set("features.3.stride", 1),
    "ceil_mode of MaxPool2d": _set("features.3.ceil_mode", True),
    "p of Dropout": _set("classifier.1.p", 0.99),
    "counter of BatchNorm as float": lambda model: setattr(model.features[1], "num_batches_tracked", torch.tensor(1.5)),
    "class of BatchNorm": lambda model: setattr(model.features[1], "__class__", nn.BatchNorm1d),
    "class of the pool": lambda model: model.features.__setitem__(3, nn.AvgPool2d(2)),
}
HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs", "_is_full_backward_hook", "_my_hooks",
)  # fmt: skip


def _reorder(module: Any, order: Iterable[str]) -> None:
    module._modules = {name: module._modules[name] for name in order}


def changed_models() -> Iterator[Case]:
    for name, change in MLP_CHANGES.items():
        yield f"model with {name}", partial(_changed, "mlp", change)
    for name, change in CNN_CHANGES.items():
        yield f"model with another {name}", partial(_changed, "cnn", change)
    for hook in HOOKS:
        yield f"model with {hook}", partial(_changed, "mlp", _set(hook, OrderedDict({0: nn.ReLU()})))
        yield f"layer with {hook}", partial(_changed, "cnn", _set(f"features.0.{hook}", {0: True}))


_NETWORK = b"cfashion_core.models\nNeuralNetwork\n"
LINEAR = named("torch.nn.modules.linear", "Linear")
HUGE = (number(200_000), number(200_000))  # a layer of 160 GB
_BESIDE: dict[str, bytes] = {
    "constructor called": call(LINEAR, *HUGE),
    "constructor called by NEWOBJ": LINEAR + b"".join((b"(", *HUGE, b"t")) + b"\x81",
    "layer made and never filled": LINEAR + b")\x81",
    "layer filled": LINEAR + b")\x81" + mapping({"forward": LINEAR}) + b"b",
    "layer filled twice": LINEAR + b")\x81" + mapping({"a": b"N"}) + b"b" + mapping({"b": b"N"}) + b"b",
    "layer with items": LINEAR + b")\x81" + listed(b"N")[1:] + text("k") + b"Ns",
    "class of the model called": call(named("__main__", "NeuralNetwork")),
    "class of the model with arguments": call(named("os", "NeuralNetwork"), text("x")),
    "dtype called": call(named("torch", "float32"), b"N"),
    "storage class called": call(named("torch", "FloatStorage"), number(2**40)),
    "dict called": call(named("builtins", "dict"), b"N"),
    "layer in a factory": call(named("collections", "defaultdict"), call(LINEAR, *HUGE)),
    "layer in metadata": call(named("collections", "OrderedDict")) + mapping({"_metadata": call(LINEAR, *HUGE)}) + b"b",
    "layer under a key that is given again": mapping({"a": call(LINEAR, *HUGE)}) + text("a") + b"Ns",
    "result called": call(call(LINEAR, *HUGE), b"N"),
    "OrderedDict with attributes": call(named("collections", "OrderedDict")) + mapping({"keys": LINEAR}) + b"b",
    "OrderedDict with a method": call(named("collections", "OrderedDict")) + mapping({"items": b"N"}) + b"b",
    "dict with a state of text": b"}" + text("x") + b"b",
    "list with a state": b"]" + mapping({"append": LINEAR}) + b"b",
    "class with a state": LINEAR + mapping({"forward": LINEAR}) + b"b",
    "tensor with a state": call(named("torch", "Size")) + mapping({"x": b"N"}) + b"b",
    "list that holds itself": b"]" + put(700) + get(700) + b"a",
    "dict that holds itself": b"}" + put(700) + text("self") + get(700) + b"s",
    "layer that holds itself": LINEAR + b")\x81" + put(700) + mapping({"_modules": mapping({"0": get(700)})}) + b"b",
}


def allowed_names_beside_real_weights() -> Iterator[Case]:
    for name, fragment in _BESIDE.items():
        yield f"checkpoint with a {name}", partial(real_file, "checkpoint", fragment)
    yield "model with a constructor called", partial(real_file, "model", _BESIDE["constructor called"])
    yield "weights with a constructor called", partial(real_file, "weights", _BESIDE["constructor called"])
    yield "legacy with a constructor called", partial(real_file, "legacy", _BESIDE["constructor called"])
    for name in ("left on the stack", "left in the memo"):
        yield f"constructor called and {name}", partial(_left, name == "left in the memo")


def _left(in_the_memo: bool) -> bytes:
    kept = call(LINEAR, *HUGE) + (put(800) + b"0" if in_the_memo else b"")
    return repickled(holding_place("checkpoint"), lambda old: old[:2] + kept + old[2:])


def shared_and_nested_layers() -> Iterator[Case]:
    yield "submodule shared 2^17 times", partial(_doubled, 17)
    yield "submodule shared 2^60 times", partial(_doubled, 60)
    yield "layers nested 1,000 deep", partial(_nested, 1000)
    yield "root is no class", lambda: torch_file(whole(text("NeuralNetwork")), {})
    yield "root is a class alone", lambda: torch_file(whole(named("__main__", "NeuralNetwork")), {})
    yield "root of another class", partial(_renamed, b"c__main__\nMyNetwork\n")
    yield "root of another model's class", partial(_renamed, b"c__main__\nSmallCNN\n")
    yield "root of a layer's class", partial(_renamed, b"ctorch.nn.modules.container\nSequential\n")
    yield "root made with arguments", partial(_renamed, _NETWORK + b"q\x00K\x01\x85\x81", _NETWORK + b"q\x00)\x81")
    yield "root with items", partial(_renamed, _NETWORK + b"q\x00)\x81K\x01a", _NETWORK + b"q\x00)\x81")
    yield "root of a class of os", partial(_renamed, b"cos\nPathLike\n")
    flatten = b"ctorch.nn.modules.flatten\nFlatten\n"
    yield "layer whose class is the model", partial(_renamed, b"c__main__\nNeuralNetwork\n", flatten)
    yield "model of protocol 0", lambda: torch_file(pickle.dumps(nn.ReLU(), 0), {})
    yield "a model in a list", lambda: saved([copy.deepcopy(build_model("mlp", seed=0))])
    yield "two models", lambda: saved({"model": build_model("mlp", seed=0), "other": nn.ReLU()})
    yield "a layer in a dict beside a model", lambda: saved({"model": build_model("mlp", 0), "note": {"x": nn.ReLU()}})


def _module(kind: bytes, **layers: bytes) -> bytes:
    return kind + b")\x81" + mapping({"training": b"\x89", "_parameters": b"}", "_modules": mapping(layers)}) + b"b"


def _doubled(times: int) -> bytes:
    """Each Sequential holds the one before it twice."""
    sequential = named("torch.nn.modules.container", "Sequential")
    parts = _module(LINEAR) + put(0)
    for index in range(times):
        parts += _module(sequential, **{"0": get(index), "1": get(index)}) + put(index + 1)
    return torch_file(whole(listed(parts)), {})


def _nested(times: int) -> bytes:
    layer = _module(LINEAR)
    for _ in range(times):
        layer = _module(named("torch.nn.modules.container", "Sequential"), **{"0": layer})
    return torch_file(whole(layer), {})


def _renamed(name: bytes, ours: bytes = _NETWORK) -> bytes:
    return repickled(saved(build_model("mlp", seed=0)), lambda old: old.replace(ours, name))


FAMILIES = (changed_models, allowed_names_beside_real_weights, shared_and_nested_layers)
