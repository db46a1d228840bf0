"""Hostile files: real torch files with something put into them."""

import io
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import nn

from fashion_core.models import build_model
from tests.hostile.opcodes import mapping, text, whole

Case = tuple[str, Callable[[], bytes]]  # the name of a hostile file, and what makes its bytes

BIAS = "linear_relu_stack.4.bias"
PLACE = "@@HERE@@"
"""A text in a real file that a fragment of pickle takes the place of."""


def archive(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def torch_file(pickle: bytes, storages: Mapping[str, bytes] | None = None) -> bytes:
    """A zip as torch writes it, with this pickle and these storages (ten float32 numbers under "5")."""
    found = {"5": bytes(40)} if storages is None else storages
    numbers = {f"archive/data/{key}": data for key, data in found.items()}
    return archive({"archive/data.pkl": pickle, "archive/byteorder": b"little", **numbers, "archive/version": b"3\n"})


def weight_file(value: bytes, name: str = "weight") -> bytes:
    return torch_file(whole(mapping({name: value})))


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def remade(data: bytes, changed: Mapping[str, bytes]) -> bytes:
    """The same archive with these members, and as torch before 2.1 wrote it: without what is said about all members."""
    members = {**members_of(data), **changed}
    del members["archive/.data/serialization_id"]
    return archive(members)


def swapped(data: bytes, one: str, other: str) -> bytes:
    members = members_of(data)
    return archive({**members, one: members[other], other: members[one]})


def repickled(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return remade(data, {"archive/data.pkl": change(members_of(data)["archive/data.pkl"])})


@cache
def mlp() -> nn.Module:
    return build_model("mlp", seed=0)


def four_keys(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The tutorial's checkpoint, after one step so that the optimizer has a state."""
    model(torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))).sum().backward()
    optimizer.step()
    state = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    return {"epoch": 4, **state, "loss": 0.5}


def checkpoint(kind: type[torch.optim.SGD | torch.optim.Adam] = torch.optim.SGD, **beside: Any) -> dict[str, Any]:
    """The tutorial's four keys, real weights and an optimizer's state after a step, and what is given."""
    model = build_model("mlp", seed=0)
    return {**four_keys(model, kind(model.parameters(), lr=0.1)), "epoch": 0, **beside}


@cache
def holding_place(kind: str) -> bytes:
    """A real file of this kind with ``PLACE`` somewhere in it."""
    if kind in ("checkpoint", "legacy"):
        return saved(checkpoint(note=PLACE), _use_new_zipfile_serialization=kind == "checkpoint")
    if kind in ("weights", "bias"):
        return saved({**mlp().state_dict(), BIAS if kind == "bias" else "note": PLACE})
    model = build_model("mlp", seed=0)
    setattr(model, "forward" if kind == "forward" else "note", PLACE)
    return saved(model)


def real_file(kind: str, fragment: bytes) -> bytes:
    """A real file around real weights, with a fragment of pickle as one value more or as the last bias."""
    data = holding_place(kind)
    if kind == "legacy":
        return _filled(data, fragment)
    pickle, numbers = (members_of(data).get(f"archive/{name}", bytes(40)) for name in ("data.pkl", "data/5"))
    return remade(data, {"archive/data.pkl": _filled(pickle, fragment), "archive/data/5": numbers})


def _filled(pickle: bytes, fragment: bytes) -> bytes:
    before, after = pickle.split(text(PLACE))
    return before + fragment + after
