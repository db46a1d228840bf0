"""Files as other tools write them, made by those that torch brings along: each is called what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint import state_dict_saver

from fashion_core.errors import RefusedFileError
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.models import build_model
from tests.hostile.building import archive


def said(path: Path) -> str:
    with pytest.raises(RefusedFileError) as refused:
        inspect(path)
    return str(refused.value)


@pytest.fixture(scope="module")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    with pytest.warns(UserWarning, match="single process"):
        state_dict_saver.save({"model": nn.Linear(2, 2).state_dict()}, checkpoint_id=folder, no_dist=True)
    return folder


def test_folder_of_a_distributed_checkpoint_is_called_so(checkpoint_folder: Path) -> None:
    assert "it is a distributed checkpoint of torch, which is a folder; turn it into one file" in said(
        checkpoint_folder
    )


def test_index_of_a_distributed_checkpoint_is_called_so(checkpoint_folder: Path) -> None:
    assert "the index of a distributed checkpoint (.metadata)" in said(checkpoint_folder / ".metadata")


def test_numbers_of_a_distributed_checkpoint_are_called_so(checkpoint_folder: Path) -> None:
    assert "as in a part of a distributed checkpoint (.distcp)" in said(checkpoint_folder / "__0_0.distcp")


FOLDERS = {"a SavedModel of TensorFlow": "saved_model.pb", "a Core ML package": "Data/com.apple.CoreML/model.mlmodel"}


@pytest.mark.parametrize("name", FOLDERS)
def test_model_that_is_a_folder_is_called_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / FOLDERS[name]).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / FOLDERS[name]).touch()
    assert f"it is {name}, which is a folder; " in said(tmp_path)


@pytest.mark.parametrize("name", ["variables.index", "ckpt-7.index", "renamed"])
def test_index_of_tensorflow_is_told_by_its_last_bytes_under_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0\0\1\2\x08\x01\x1a\x02" + bytes(60) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb")
    assert "it is a checkpoint index of TensorFlow (.index); load it with" in said(tmp_path / name)


def test_what_aotinductor_compiled_is_called_so(tmp_path: Path) -> None:
    library = "model/data/aotinductor/model/kernel.wrapper.so"
    (tmp_path / "model.pt2").write_bytes(archive({"model/archive_format": b"pt2", library: b"\x7fELF"}))
    assert "it is a .pt2 that AOTInductor has compiled for one kind of machine" in said(tmp_path / "model.pt2")


def optimizer_alone() -> dict[str, Any]:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.zeros(1, 2)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "by itself": optimizer_alone,
    "beside an epoch": lambda: {"epoch": 3, "optimizer_states": [optimizer_alone()]},
}


@pytest.mark.parametrize("where", OPTIMIZERS)
def test_optimizer_without_weights_is_called_so(tmp_path: Path, where: str) -> None:
    torch.save(OPTIMIZERS[where](), tmp_path / "optimizer.pt")
    found = inspect(tmp_path / "optimizer.pt")
    assert found.refusal == (
        "The file is refused: it holds the state of an optimizer and no weights; choose the model's own file."
    )
    assert found.optimizer is not None
    assert found.optimizer.name == "adam"


def test_pickle_of_another_library_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "words.pkl").write_bytes(b"\x80\x04]\x94.")
    assert said(tmp_path / "words.pkl").endswith("torch wrote; save the model's state_dict with torch.save instead.")


def test_what_torch_leaves_when_saving_fails_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        torch.save({"weight": torch.zeros(2), "activation": lambda x: x}, tmp_path / "model.pt")
    assert "it is what torch.save left when it broke off" in said(tmp_path / "model.pt")


def test_file_whose_checksums_torch_was_told_not_to_compute_is_described_and_not_used(tmp_path: Path) -> None:
    set_option, weights = torch.serialization.set_crc32_options, build_model("mlp", seed=0).state_dict()
    set_option(False)
    try:
        torch.save(weights, tmp_path / "model.pt")
    finally:
        set_option(True)
    found = inspect(tmp_path / "model.pt")
    assert (found.model, found.has_checksum, len(found.tensors)) == ("mlp", False, len(weights))
    with pytest.raises(RefusedFileError, match="saved without checksums"):
        load(tmp_path / "model.pt")


def test_history_that_is_too_long_says_what_to_do(tmp_path: Path) -> None:
    log = [{"epoch": step, "loss": 0.5, "rate": 0.1} for step in range(50_000)]
    torch.save({"state_dict": nn.Linear(2, 2).state_dict(), "log": log}, tmp_path / "model.pt")
    assert said(tmp_path / "model.pt").endswith("instructions; save the state_dict alone.")
