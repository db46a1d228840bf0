"""Hostile files of the two formats without a pickle of their own: safetensors and .pt2."""

import json
import struct
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import safetensors.torch
import torch

from fashion_core.formats.export import as_program
from fashion_core.models import build_model
from tests.hostile.building import BIAS, Case, archive, members_of, mlp, remade, swapped, torch_file
from tests.hostile.gadgets import SYSTEM
from tests.hostile.layers import LINEAR
from tests.hostile.opcodes import call, number, whole


@cache
def _tensors() -> bytes:
    return safetensors.torch.save(dict(mlp().state_dict()), {"format": "pt"})


def _header() -> tuple[dict[str, Any], bytes]:
    data = _tensors()
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header, data[8 + length :]


def _written(header: bytes, numbers: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + numbers


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    header, numbers = _header()
    change(header)
    return _written(json.dumps(header).encode(), numbers)


def _says(header: dict[str, Any], **said: str) -> None:
    header["__metadata__"].update({f"fashion_core.{key}": value for key, value in said.items()})


STACK = ("linear_relu_stack.4.weight", BIAS)
_HEADERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "offsets that overlap": lambda header: header[BIAS].update(data_offsets=[0, 40]),
    "offsets with a hole": lambda header: header.pop(BIAS),
    "offsets backwards": lambda header: header[BIAS]["data_offsets"].reverse(),
    "offsets outside": lambda header: header[BIAS].update(data_offsets=[2**40, 2**40 + 40]),
    "offsets of 2^100": lambda header: header[BIAS].update(data_offsets=[2**100, 2**100 + 40]),
    "negative offsets": lambda header: header[BIAS].update(data_offsets=[-40, 0]),
    "offsets of true": lambda header: header[BIAS].update(data_offsets=[False, True]),
    "offsets of floats": lambda header: header[BIAS].update(data_offsets=[0.0, 40.0]),
    "offsets of texts": lambda header: header[BIAS].update(data_offsets=["0", "40"]),
    "one offset": lambda header: header[BIAS].update(data_offsets=[0]),
    "no offsets": lambda header: header[BIAS].pop("data_offsets"),
    "offsets of lists": lambda header: header[BIAS].update(data_offsets=[[], []]),
    "offsets nested 900 deep": lambda header: [header[name].update(data_offsets=[_nested(900)]) for name in STACK],
    "a dtype that lies": lambda header: header[BIAS].update(dtype="F16"),
    "a dtype that is unknown": lambda header: header[BIAS].update(dtype="F8_E4M3"),
    "a dtype that is a list": lambda header: header[BIAS].update(dtype=["F32"]),
    "a dtype of another size": lambda header: header[BIAS].update(dtype="F64", shape=[5]),
    "a dtype of numbers": lambda header: header[BIAS].update(dtype="I32"),
    "a shape that lies": lambda header: header[BIAS].update(shape=[11]),
    "a shape of another kind": lambda header: header[BIAS].update(shape=[2, 5]),
    "a shape of 300,000 dimensions": lambda header: header[BIAS].update(shape=[10] + [1] * 300_000),
    "a shape of huge numbers": lambda header: header[BIAS].update(shape=[2**47] * 10_000),
    "a negative shape": lambda header: header[BIAS].update(shape=[-10]),
    "a shape of text": lambda header: header[BIAS].update(shape="10"),
    "a shape of a dict": lambda header: header[BIAS].update(shape={"10": 1}),
    "a tensor that is a list": lambda header: header.update({BIAS: [1]}),
    "a tensor more": lambda header: header.update(extra=dict(header[BIAS])),
    "10,000 empty tensors": lambda header: header.update(_empty(10_000)),
    "metadata of numbers": lambda header: header.update(__metadata__={"epoch": 1}),
    "metadata in a list": lambda header: header.update(__metadata__=["x"]),
    "a wrong checksum": lambda header: _says(header, sha256="0" * 64),
    "a checksum that is empty of sense": lambda header: _says(header, sha256="\x1b[2J\n"),
    "no checksum where one belongs": lambda header: _says(header, epoch="1"),
    "a name with an escape sequence": lambda header: header.update({"\x1b[2J\n": header.pop(BIAS)}),
    "a name of half a letter": lambda header: header.update({"\ud800": header.pop(BIAS)}),
}


def _nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def _empty(count: int) -> dict[str, Any]:
    return {str(index): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for index in range(count)}


def safetensors_with() -> Iterator[Case]:
    for name, change in _HEADERS.items():
        yield name, partial(_changed, change)
    yield "a header of 2^63", lambda: _written(b'{"a":1}', b"", 2**63)
    yield "a header of 200 MB", lambda: _written(b'{"a":1}', bytes(100), 200_000_000)
    yield "a header longer than it", lambda: _written(b'{"a":1}', b"", 1000)
    yield "a header of 1 MB of lists", lambda: _written(b'{"a":' + b"[" * 1_000_000, b"")
    yield "a header of 1 MB of dicts", lambda: _written(b'{"a":' * 200_000, b"")
    yield "many small lists", lambda: _written(b'{"a":[' + b"[]," * 340_000 + b"[]]}", b"")
    yield "many small dicts", lambda: _written(b'{"a":[' + b"{}," * 340_000 + b"{}]}", b"")
    yield "a number of 1 MB", lambda: _written(b'{"a":' + b"9" * 1_000_000 + b"}", b"")
    yield "a float of 1 MB", lambda: _written(b'{"a":0.' + b"9" * 1_000_000 + b"}", b"")
    yield "nan", lambda: _written(_replaced(b'"shape":[10]', b'"shape":[NaN]'), _header()[1])
    yield "a key twice", lambda: _written(_replaced(b'{"__metadata__"', b'{"a":1,"a":2,"__metadata__"'), _header()[1])
    yield "a weight twice", _weight_twice
    yield "a file of UTF-16", lambda: _written(b"{" + json.dumps(_header()[0]).encode("utf-16-le")[1:], _header()[1])
    yield "a file of bad UTF-8", lambda: _written(b'{"\xff\xfe":1}', b"")
    yield "a file that is a list", lambda: _written(b"[1,2,3]", b"")
    yield "a file that is empty", lambda: _written(b"{}", b"")
    yield "a pickle behind", lambda: _tensors() + whole(SYSTEM.called)
    yield "a file cut off", lambda: _tensors()[:-4]
    yield "nan weights", lambda: safetensors.torch.save({**mlp().state_dict(), BIAS: torch.full((10,), float("nan"))})
    yield "a file of another model", lambda: safetensors.torch.save({"weight": torch.zeros(3)})
    yield "a file of float64", lambda: safetensors.torch.save(build_model("mlp", seed=0).double().state_dict())


def _replaced(old: bytes, new: bytes) -> bytes:
    data = json.dumps(_header()[0], separators=(",", ":")).encode()
    assert old in data
    return data.replace(old, new)


def _weight_twice() -> bytes:
    """One name for two places: readers differ about which one counts."""
    header, numbers = _header()
    again = json.dumps({BIAS: header[BIAS]})[1:-1]
    return _written(json.dumps(header)[:-1].encode() + f",{again}}}".encode(), numbers)


@cache
def _program() -> bytes:
    return as_program(mlp(), {})


WEIGHTS = "archive/data/weights/model_weights_config.json"
CONSTANTS = "archive/data/constants/model_constants_config.json"
SAMPLES = "archive/data/sample_inputs/model.pt"
GRAPH = "archive/models/model.json"


def _program_with(changed: dict[str, bytes]) -> bytes:
    return remade(_program(), changed)


def _described(change: Callable[[dict[str, Any]], object]) -> bytes:
    config = json.loads(members_of(_program())[WEIGHTS])
    change(config["config"][BIAS])
    return _program_with({WEIGHTS: json.dumps(config).encode()})


def _meta(tensor: dict[str, Any], **changed: object) -> None:
    tensor["tensor_meta"].update(changed)


_WEIGHTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "pickled weights": lambda tensor: tensor.update(use_pickle=True),
    "perhaps pickled weights": lambda tensor: tensor.update(use_pickle=0),
    "pickled weights by text": lambda tensor: tensor.update(use_pickle="no"),
    "an absolute path": lambda tensor: tensor.update(path_name="/etc/passwd"),
    "a path of the parent folder": lambda tensor: tensor.update(path_name="../../etc/passwd"),
    "the path of its description": lambda tensor: tensor.update(path_name="model_weights_config.json"),
    "the path of another weight": lambda tensor: tensor.update(path_name="weight_0"),
    "a path that is a list": lambda tensor: tensor.update(path_name=["weight_0"]),
    "a path that is a number": lambda tensor: tensor.update(path_name=0),
    "no path": lambda tensor: tensor.pop("path_name"),
    "no facts": lambda tensor: tensor.pop("tensor_meta"),
    "another dtype": lambda tensor: _meta(tensor, dtype=8),
    "a dtype of text": lambda tensor: _meta(tensor, dtype="float"),
    "a dtype of a list": lambda tensor: _meta(tensor, dtype=[7]),
    "a dtype of true": lambda tensor: _meta(tensor, dtype=True),
    "a symbolic size": lambda tensor: _meta(tensor, sizes=[{"as_expr": {"expr_str": "__import__('os')"}}]),
    "a huge size": lambda tensor: _meta(tensor, sizes=[{"as_int": 10**12}]),
    "a size of text": lambda tensor: _meta(tensor, sizes=[{"as_int": "10"}]),
    "sizes that are numbers": lambda tensor: _meta(tensor, sizes=[10]),
    "a stride of 0": lambda tensor: _meta(tensor, strides=[{"as_int": 0}]),
    "a negative stride": lambda tensor: _meta(tensor, strides=[{"as_int": -1}]),
    "no strides": lambda tensor: _meta(tensor, strides=[]),
    "a negative offset": lambda tensor: _meta(tensor, storage_offset={"as_int": -1}),
    "an offset beyond": lambda tensor: _meta(tensor, storage_offset={"as_int": 2**40}),
    "10,000 dimensions": lambda tensor: _meta(
        tensor, sizes=[{"as_int": 2**47}] * 10_000, strides=[{"as_int": 1}] * 10_000
    ),
}


def pt2_with() -> Iterator[Case]:
    gadget = whole(SYSTEM.called)
    for name, change in _WEIGHTS.items():
        yield name, partial(_described, change)
    yield "a pickle in its sample inputs", lambda: _program_with({SAMPLES: torch_file(gadget, {})})
    layer = torch_file(whole(call(LINEAR, number(9))), {})
    yield "a layer in its sample inputs", lambda: _program_with({SAMPLES: layer})
    yield "a bare pickle as sample inputs", lambda: _program_with({SAMPLES: gadget})
    yield "a bomb in its sample inputs", lambda: _program_with({SAMPLES: torch_file(whole(b"]" * 900_000), {})})
    yield "sample inputs of no archive", lambda: _program_with({SAMPLES: b"x"})
    yield "pickled weights in a member", lambda: _program_with({"archive/data/weights/weight_5": gadget})
    yield "pickled constants", lambda: _program_with({CONSTANTS: b'{"config":{"x":{"path_name":"custom_obj_0"}}}'})
    yield "a custom object", lambda: _program_with({"archive/data/constants/custom_obj_0": gadget})
    yield "compiled code", lambda: _program_with({"archive/data/aotinductor/model/x.so": b"\x7fELF"})
    yield "a member more", lambda: _program_with({"archive/extra/evil.py": b"import os"})
    yield "a second model", lambda: _program_with({"archive/models/other.json": b"{}"})
    yield "the pickle of a checkpoint", lambda: _program_with({"archive/data.pkl": gadget})
    yield "weights described in 2 MB", lambda: _program_with({WEIGHTS: b'{"config":{"a":"' + b"x" * 2_000_000 + b'"}}'})
    yield "weights described in nested lists", lambda: _program_with({WEIGHTS: b'{"config":' + b"[" * 900_000})
    yield "weights described in a list", lambda: _program_with({WEIGHTS: b'{"config":[1]}'})
    yield "a file described by a list", lambda: _program_with({WEIGHTS: b"[1]"})
    yield "one number for ten", _one_for_ten
    yield "one weight described in two ways", _two_ways
    yield "no weights", lambda: _program_with({WEIGHTS: b'{"config":{}}'})
    yield "weights of text", lambda: _program_with({WEIGHTS: b'{"config":{"w":"x"}}'})
    yield "a file of an unknown kind", lambda: _program_with({"archive/archive_format": b"pt3"})
    yield "a changed weight", lambda: archive({**members_of(_program()), "archive/data/weights/weight_5": bytes(40)})
    yield "a changed graph", lambda: archive({**members_of(_program()), GRAPH: b"[" * 1_000_000})
    two = "archive/data/weights/weight_1", "archive/data/weights/weight_3"
    yield "weights that changed places", lambda: swapped(_program(), *two)
    yield "a file of torch before 2.9", lambda: archive({"serialized_exported_program.json": b"{}", "version": b"8.1"})


def _one_for_ten() -> bytes:
    """A bias that repeats a single number by a stride of 0."""
    described = _described(lambda tensor: _meta(tensor, strides=[{"as_int": 0}]))
    return archive({**members_of(described), "archive/data/weights/weight_5": bytes(4)})


def _two_ways() -> bytes:
    """A bias of 512 float32 numbers, and another one made of the same bytes as float16."""
    config = json.loads(members_of(_program())[WEIGHTS])
    other = config["config"]["linear_relu_stack.2.bias"]
    other.update(path_name="weight_1")
    other["tensor_meta"].update(dtype=6, storage_offset={"as_int": 512})
    changed = {WEIGHTS: json.dumps(config).encode(), "archive/data/weights/weight_1": bytes(2048)}
    members = members_of(_program_with(changed))
    del members["archive/data/weights/weight_3"]
    return archive(members)


FAMILIES = (safetensors_with, pt2_with)
