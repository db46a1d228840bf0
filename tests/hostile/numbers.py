"""Good containers and good names around numbers that are not: tensors, storages, optimizers, and texts that speak."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from fashion_core.config import Shape
from fashion_core.data.description import BUILT_IN
from fashion_core.models import build_model
from tests.hostile.building import BIAS, PLACE, Case, checkpoint, mlp, real_file, repickled, saved, weight_file
from tests.hostile.opcodes import call, listed, mapping, named, number, real, sequence, storage, tensor, text

WEIGHT = "linear_relu_stack.0.weight"


def _bias(value: Any) -> bytes:
    return saved({**mlp().state_dict(), BIAS: value})


def weights() -> Iterator[Case]:
    state = mlp().state_dict()
    for name, value in (("nan", float("nan")), ("inf", float("inf")), ("-inf", -float("inf"))):
        yield f"a weight that is {name}", partial(_bias, torch.tensor([value] + [0.0] * 9))
    yield "a float16 weight that is nan", partial(_bias, torch.full((10,), float("nan"), dtype=torch.float16))
    shapes = {"too long": (11,), "too short": (9,), "of two dimensions": (10, 1), "a single number": (), "empty": (0,)}
    for name, shape in shapes.items():
        yield f"a bias that is {name}", partial(_bias, torch.zeros(shape))
    yield "a bias of 64 dimensions", partial(_bias, torch.zeros((1,) * 64))
    for dtype in (torch.float64, torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool, torch.complex64):
        yield f"a bias of {dtype}", partial(_bias, torch.zeros(10, dtype=dtype))
    yield "a bias of float8", partial(_bias, torch.zeros(10).to(torch.float8_e4m3fn))
    yield "a sparse bias", partial(_bias, torch.zeros(10).to_sparse())
    yield "a bias on the meta device", partial(_bias, torch.zeros(10, device="meta"))
    yield "a bias whose sign is not in its numbers", lambda: _bias(torch.ones(10, dtype=torch.complex64).conj().imag)
    yield "a bias that is a number", partial(_bias, 1.0)
    yield "a bias that is a list", partial(_bias, [0.0] * 10)
    yield "a bias that is a dict", partial(_bias, {"weight": torch.zeros(10)})
    yield "an expanded weight", lambda: saved({**mlp().state_dict(), WEIGHT: torch.zeros(1, 1).expand(512, 784)})
    yield "weights that overlap", lambda: saved({**state, WEIGHT: torch.zeros(2000).as_strided((512, 784), (1, 1))})
    yield "a counter that is a float", lambda: _counter(torch.tensor(1.5))
    yield "a counter that is a bool", lambda: _counter(torch.tensor(True))
    yield "weights of no layer", lambda: saved({})
    yield "no weights at all", lambda: saved({"epoch": 0, "loss": 0.5})
    yield "a text", lambda: saved("weights")
    yield "a tensor alone", lambda: saved(torch.zeros(3))


def _counter(value: torch.Tensor) -> bytes:
    return saved({**build_model("cnn", seed=0).state_dict(), "features.1.num_batches_tracked": value})


def _rebuild(what: str, *arguments: bytes) -> bytes:
    return call(named("torch._utils", f"_rebuild_{what}"), *arguments)


_ODD_TENSORS: dict[str, bytes] = {
    "a negative offset": tensor(offset=number(-1)),
    "an offset behind the end": tensor(offset=b"K\x01"),
    "an offset of 2^200": tensor(offset=number(2**200)),
    "a negative size": tensor(shape=number(-10) + b"\x85"),
    "a size of true": tensor(shape=b"\x88\x85"),
    "a size of 2.0": tensor(shape=real(2.0) + b"\x85"),
    "a size of text": tensor(shape=text("10") + b"\x85"),
    "sizes in a list": tensor(shape=listed(b"K\x0a")),
    "a negative stride": tensor(stride=number(-1) + b"\x85"),
    "a stride beyond": tensor(stride=number(2**40) + b"\x85"),
    "strides for two dimensions": tensor(stride=b"K\x01K\x01\x86"),
    "no storage": tensor(source=b"N"),
    "a number as storage": tensor(source=b"K\x07"),
    "a tensor as storage": tensor(source=tensor()),
    "too few arguments": _rebuild("tensor_v2", storage()),
    "too many arguments": _rebuild("tensor_v2", *[storage()] * 12),
    "no arguments": named("torch._utils", "_rebuild_tensor_v2") + b"NR",
    "arguments in a list": named("torch._utils", "_rebuild_tensor_v2") + listed(storage()) + b"R",
    "the rebuild of nothing": _rebuild("parameter", b"N", b"\x88", b"}"),
    "the rebuild of a text": _rebuild("parameter", text("x"), b"\x88", b"}"),
    "a parameter with hooks": _rebuild("parameter", tensor(), b"\x88", mapping({"0": b"N"})),
    "a parameter with a state": _rebuild("parameter_with_state", tensor(), b"\x88", b"}", mapping({"grad": b"N"})),
    "a rebuild of another kind": _rebuild("sparse_tensor", b"N", b"N"),
    "a rebuild from type": call(named("torch._tensor", "_rebuild_from_type_v2"), b"N", b"N", b")", b"}"),
    "a rebuild of a wrapper": _rebuild("wrapper_subclass", b"N", b"N"),
    "a rebuild on a device": _rebuild("device_tensor_from_numpy", b"N", b"N"),
    "hooks": tensor(hooks=mapping({"0": b"N"})),
    "fewer numbers than its storage and a wide stride": tensor(shape=b"K\x05\x85", stride=b"K\x03\x85"),
    "a list that is no list": b"NK\x01a",
    "items of no dict": b"]NNs",
    "a name of numbers": b"K\x01K\x02\x93",
    "a defaultdict of a number": call(named("collections", "defaultdict"), b"K\x01"),
    "a counter of a list": call(named("collections", "Counter"), b"]"),
    "a device of a list": call(named("torch", "device"), listed(b"N")),
    "a device of three": call(named("torch", "device"), text("cpu"), b"K\x00", b"K\x00"),
    "a shape of texts": call(named("torch", "Size"), listed(text("10"))),
    "a set of nothing": call(named("builtins", "set"), b"N"),
}
_KIND = named("torch", "FloatStorage")
_ODD_STORAGES: dict[str, bytes] = {
    "a text": text("storage") + b"Q",
    "a number": b"K\x01Q",
    "nothing": b"NQ",
    "a list": listed(text("storage")) + b"Q",
    "an empty tuple": b")Q",
    "four parts": sequence(text("storage"), _KIND, text("5"), text("cpu")) + b"Q",
    "seven parts": sequence(text("storage"), *[b"N"] * 6) + b"Q",
    "an odd first word": sequence(text("file"), _KIND, text("5"), text("cpu"), b"K\x0a") + b"Q",
    "a module of text": sequence(text("module"), text("os"), text("x"), text("x")) + b"Q",
    "a class of text": sequence(text("storage"), text("torch.FloatStorage"), text("5"), text("cpu"), b"K\x0a") + b"Q",
    "another class": storage("Tensor"),
    "the class of complex numbers": storage("ComplexFloatStorage"),
    "the untyped class": storage("UntypedStorage"),
    "a key of a number": sequence(text("storage"), _KIND, b"K\x05", text("cpu"), b"K\x0a") + b"Q",
    "a key of another member": storage(key="../data.pkl"),
    "a key of 5,000 letters": storage(key="5" * 5000),
    "a key that is not there": storage(key="77"),
    "a location of a number": sequence(text("storage"), _KIND, text("5"), b"K\x00", b"K\x0a") + b"Q",
    "a negative count": storage(numel=number(-10)),
    "a count of true": storage(numel=b"\x88"),
    "a count of text": storage(numel=text("10")),
    "a view of another storage": sequence(
        text("storage"), _KIND, text("5"), text("cpu"), b"K\x0a", sequence(text("1"), b"K\x00")
    ) + b"Q",
    "the old instruction PERSID": b"P0\n",
}  # fmt: skip


def odd_tensors() -> Iterator[Case]:
    for name, fragment in _ODD_TENSORS.items():
        yield f"bias by {name}", partial(real_file, "bias", fragment)
        yield f"checkpoint and a tensor with {name}", partial(real_file, "checkpoint", fragment)
    for name, fragment in _ODD_STORAGES.items():
        yield f"bias in a storage by {name}", partial(real_file, "bias", tensor(fragment))
        yield f"checkpoint and a storage by {name}", partial(real_file, "checkpoint", fragment)
    yield "one storage of two dtypes", lambda: weight_file(listed(tensor(), tensor(storage("IntStorage"))))
    yield "one storage of two sizes", lambda: weight_file(listed(tensor(), tensor(storage(numel=b"K\x0b"))))
    yield "one storage of two dtypes of the same size", _two_dtypes
    yield "a storage that no tensor uses", lambda: weight_file(storage())


def _two_dtypes() -> bytes:
    """A bias of 512 float32 numbers, and another one made of the same bytes as 1,024 of float16."""
    state = {**mlp().state_dict(), "linear_relu_stack.0.bias": torch.zeros(512), "linear_relu_stack.2.bias": PLACE}
    halves = tensor(storage("HalfStorage", "1", number(1024)), shape=number(512) + b"\x85")
    return repickled(saved(state), lambda old: old.replace(text(PLACE), halves))


def _optimizer(change: Callable[[dict[str, Any]], object]) -> bytes:
    content = checkpoint(torch.optim.Adam)
    change(content["optimizer_state_dict"])
    return saved(content)


def optimizers() -> Iterator[Case]:
    """Good weights beside an optimizer that torch must not get: the weights are used, and its state is not."""
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "no parameters": lambda state: state["param_groups"][0].update(params=[]),
        "parameters twice": lambda state: state["param_groups"][0].update(params=[0, 0, 1, 2, 3, 4]),
        "parameters that are true": lambda state: state["param_groups"][0].update(params=[0, True, 2, 3, 4, 5]),
        "parameters that are floats": lambda state: state["param_groups"][0].update(params=[0, 1.0, 2, 3, 4, 5]),
        "parameters in a text": lambda state: state["param_groups"][0].update(params="012345"),
        "parameters that are dicts": lambda state: state["param_groups"][0].update(params=[{}] * 6),
        "a group more": lambda state: state["param_groups"].append({"params": []}),
        "no groups": lambda state: state["param_groups"].clear(),
        "groups that are numbers": lambda state: state.update(param_groups=[1]),
        "a state for a parameter that is not there": lambda state: state["state"].update({7: {}}),
        "a state under a text": lambda state: state["state"].update({"0": {}}),
        "a state that is a list": lambda state: state.update(state=[1, 2]),
        "a state of lists": lambda state: state["state"].update({0: [1]}),
        "a tensor of another shape": lambda state: state["state"].update({0: {"exp_avg": torch.zeros(3)}}),
        "a tensor of float64": lambda state: state["state"].update({5: {"exp_avg": torch.zeros(10).double()}}),
        "a tensor that is nan": lambda state: state["state"].update({5: {"exp_avg": torch.full((10,), float("nan"))}}),
        "a step that is inf": lambda state: state["state"].update({5: {"step": torch.tensor(float("inf"))}}),
        "a learning rate of 10^600": lambda state: state["param_groups"][0].update(lr=10**600),
        "a learning rate of nan": lambda state: state["param_groups"][0].update(lr=float("nan")),
        "a learning rate in a dict": lambda state: state["param_groups"][0].update(lr={"x": 1}),
        "betas of dicts": lambda state: state["param_groups"][0].update(betas=({}, {})),
        "betas of 10^600": lambda state: state["param_groups"][0].update(betas=[10**600]),
        "a text of 100,000 letters": lambda state: state["param_groups"][0].update(name="x" * 100_000),
    }
    for name, change in changes.items():
        yield f"optimizer with {name}", partial(_optimizer, change)
    for name, change in _ADAM_CHANGES.items():
        yield f"Adam with {name}", partial(_optimizer, change)


_ADAM_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "one number where a parameter needs many": lambda state: state["state"][0].update(exp_avg=torch.tensor(1.0)),
    "a step of many numbers": lambda state: state["state"][1].update(step=torch.zeros(512)),
    "a number that is no tensor": lambda state: state["state"][0].update(exp_avg=1.0),
    "half of what it keeps": lambda state: state["state"][0].pop("exp_avg_sq"),
    "more than it keeps": lambda state: state["state"][0].update(more=torch.zeros(3)),
    "a state for some parameters": lambda state: state["state"].pop(3),
    "one beta": lambda state: state["param_groups"][0].update(betas=[0.9]),
    "betas above one": lambda state: state["param_groups"][0].update(betas=[0.9, 1.5]),
    "an eps in words": lambda state: state["param_groups"][0].update(eps="small"),
}
"""Torch's fused steps trust all of these, and read or write memory that isn't theirs."""


_SPEAKING = {
    "a newline": "evil\nThe file is fine.",
    "an escape sequence": "\x1b[2J\x1b[31mevil\x1b]0;title\x07",
    "letters written backwards": "\u202egnp.live",
    "a NUL": "a\0b",
    "half a letter": "\ud800",
    "a line of another kind": "one\u2028two\u0085three",
    "10,000 letters": "x" * 10_000,
    "markdown": "**x** [click](http://127.0.0.1) <script>alert(1)</script>",
}


def speaking() -> Iterator[Case]:
    """Texts of the file that stand in the sentence about it."""
    for name, words in _SPEAKING.items():
        yield f"class named with {name}", partial(real_file, "checkpoint", text("os") + text(words) + b"\x93)R")
        yield f"module named with {name}", partial(real_file, "model", text(words) + text("system") + b"\x93")
        yield f"weights named with {name}", partial(weight_file, tensor(), words)
        yield f"storage named with {name}", partial(real_file, "checkpoint", storage(key=words))
        yield f"attribute named with {name}", partial(_attribute, words)


def _attribute(name: str) -> bytes:
    model = build_model("mlp", seed=0)
    vars(model)[name] = 1
    return saved(model)


def _sized(*changes: tuple[int, tuple[int, ...]]) -> bytes:
    """Weights with the names of the MLP, of these sizes at these places."""
    sizes = {**dict(enumerate([(512, 784), (512,), (512, 512), (512,), (10, 512), (10,)])), **dict(changes)}
    return saved({name: torch.zeros(size) for name, size in zip(mlp().state_dict(), sizes.values(), strict=True)})


def _unbacked(inputs: int) -> bytes:
    """A first layer of this many inputs, whose numbers are one number again and again."""
    return saved({**mlp().state_dict(), WEIGHT: torch.zeros(1, 1).expand(512, inputs)})


def _many() -> bytes:
    """A hundred models for different images, all of one number."""
    one, names = torch.zeros(1, 1), list(mlp().state_dict())
    sizes = [(512, 784), (512, 1), (512, 512), (512, 1), (10, 512), (10, 1)]
    return saved(
        {
            f"{number}.{name}": one.expand(*size[:-1], 64 * number) if name == WEIGHT else one.expand(size).squeeze(1)
            for number in range(1, 101)
            for name, size in zip(names, sizes, strict=True)
        }
    )


def _whole(shape: Shape, path: str, value: Any) -> bytes:
    model = build_model("cnn", 0, shape)
    *layers, name = path.split(".")
    vars(model.get_submodule(".".join(layers)))[name] = value
    return saved(model)


def sizes_of_no_model() -> Iterator[Case]:
    for classes in (0, 1, 1001, 2000):
        yield f"weights for {classes} classes", partial(_sized, (4, (classes, 512)), (5, (classes,)))
    for inputs in (0, 49, 785, 787):
        yield f"weights for images of {inputs} numbers", partial(_sized, (0, (512, inputs)))
    yield "weights whose bias is of other classes", partial(_sized, (4, (5, 512)))
    yield "weights of a layer that takes no other's", partial(_sized, (2, (512, 256)))
    yield "weights of 300 hidden units", partial(_sized, (0, (300, 784)), (1, (300,)))
    yield (
        "weights of 2 channels",
        lambda: saved({**build_model("cnn", seed=0).state_dict(), "features.0.weight": torch.zeros(32, 2, 3, 3)}),
    )
    yield "a first layer of 400 MB in one number", partial(_unbacked, 3 * 256 * 256)
    yield "a first layer of 2^40 inputs in one number", partial(_unbacked, 1 << 40)
    yield "a hundred models in one number", _many
    for path, value in (("features.0.in_channels", 1), ("classifier.2.in_features", 3136), ("features.7.stride", 4)):
        yield f"a model for colour whose {path} lies", partial(_whole, Shape(3, 32, 32, 5), path, value)


def descriptions() -> Iterator[Case]:
    """What stands where a checkpoint of this app describes its dataset: passed over at no cost."""
    fields: dict[str, Any] = BUILT_IN["synthetic"].model_copy(update={"name": "shoes"}).model_dump(mode="json")
    there = {
        "a text": "shoes",
        "59,000 keys": dict.fromkeys(map(str, range(59_000))),
        "59,000 classes": {**fields, "classes": list(map(str, range(59_000)))},
        "59,000 means of no sense": {**fields, "mean": [None] * 59_000},
        "a long text": {**fields, "source": "x" * 1_000_000},
        "a long number": {**fields, "train": 1 << 40_000},
        "a tensor": {**fields, "height": torch.zeros(1)},
        "itself": {**fields, "source": fields},
    }
    for name, value in there.items():
        yield f"a dataset that is {name}", partial(_described, value)


def _described(value: Any) -> bytes:
    return saved(checkpoint(dataset=value))


FAMILIES = (weights, odd_tensors, speaking, sizes_of_no_model)
