"""A file of another kind is called by its name, in one sentence that says what to do."""

import bz2
import gzip
import io
import lzma
import pickle
import re
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from fashion_core.errors import DiskError, RefusedFileError
from fashion_core.formats.inspect import inspect
from tests.hostile.building import archive, members_of, mlp, saved

JSON_INDEX = (
    b'{\n  "metadata": {\n    "total_size": 13\n  },\n  "weight_map": {"lm_head.weight": "model-00001.safetensors"}}'
)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 12345\n"
NAMES: dict[str, tuple[str, bytes]] = {
    "Git LFS pointer.*git lfs pull": ("model.pth", POINTER),
    "web page.*download": ("model.pth", b"\xef\xbb\xbf\n <!-- a comment -->\n<HTML lang=en><head></head></html>"),
    "web page": ("model.bin", "<!DOCTYPE html><p>Quota exceeded</p>".encode("utf-16")),
    "error message of a storage server": ("m.pt", b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'),
    "error message of a server": ("m.pt", b'{"error": "Repository not found"}'),
    "index of a checkpoint in several files": ("pytorch_model.bin.index.json", JSON_INDEX),
    "settings": ("config.json", b'{\n  "architectures": ["BertModel"],\n  "hidden_size": 768}'),
    "HDF5": ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(500)),
    "GGUF": ("model.gguf", b"GGUF\x03\0\0\0" + bytes(500)),
    "GGML": ("ggml-base.bin", b"lmgg" + bytes(500)),
    "NumPy array": ("weights.npy", b"\x93NUMPY\x01\0" + bytes(200)),
    "gzip.*unpack": ("model.pth.gz", gzip.compress(b"weights")),
    "bzip2": ("model.pth.bz2", bz2.compress(b"weights")),
    "xz": ("model.pth.xz", lzma.compress(b"weights")),
    "Zstandard": ("model.pth.zst", b"\x28\xb5\x2f\xfd" + bytes(20)),
    "7-Zip": ("model.7z", b"7z\xbc\xaf\x27\x1c" + bytes(20)),
    "RAR": ("model.rar", b"Rar!\x1a\x07\x01\0" + bytes(20)),
    "TensorFlow Lite": ("model.tflite", b"\x1c\0\0\0TFL3" + bytes(60)),
    "numbers of a TensorFlow checkpoint": ("model.ckpt.data-00000-of-00001", bytes(7) + b"\x80\x3f\xcd\xcc\xcc" * 40),
    "list of a TensorFlow folder": ("checkpoint", b'model_checkpoint_path: "model.ckpt-9"\n'),
    "SavedModel": ("saved_model.pb", b"\x08\x01\x12\xa2\x04\x0a\x30\x0a\x05serve" + bytes(90)),
    "Core ML": ("model.mlmodel", b"\x08\x04\x12\x40\x0a\x10\x0a\x05image" + bytes(90)),
    "ONNX": ("model.onnx", b"\x08\x07\x12\x07pytorch\x1a\x051.9.0:" + bytes(90)),
    "PNG image": ("shirt.png", b"\x89PNG\r\n\x1a\n" + bytes(90)),
    "PDF": ("paper.pdf", b"%PDF-1.7\n" + bytes(90)),
    "table of text": ("scores.csv", b"epoch,loss\n1,0.5\n2,0.25\n"),
    "Python source": ("train.py", b'"""Train."""\n\nimport torch\n'),
    "Jupyter notebook": ("train.ipynb", b'{\n "cells": [{"cell_type": "code"}]}'),
    "pickle of sklearn": ("model.pkl", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x14sklearn.linear_model\x8c\x05Ridge\x93."),
    "pickle, but not one that torch wrote": ("list.pkl", pickle.dumps([1, 2])),
    "download that has not finished": ("model.pth.crdownload", b"\xff\xfe\xfd\xfc" * 9),
    "only zeros": ("model.pth", bytes(5000)),
    "empty": ("model.pth", b""),
    "not a file that torch or safetensors writes": ("model.pth", b"\xaa\xbb\xcc\xdd\x01\x02\x03\x04" * 9),
    "not a file that torch": ("model.bin", b"\x80\x91\xcc\xdd\x01\x02\x03\x04" * 9),
}  # fmt: skip


def said(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(RefusedFileError) as refused:
        inspect(path)
    return str(refused.value)


@pytest.mark.parametrize("words", NAMES)
def test_a_file_of_another_kind_is_called_by_its_name(tmp_path: Path, words: str) -> None:
    name, data = NAMES[words]
    sentence = said(tmp_path / name, data)
    assert re.search(words, sentence), sentence
    assert sentence.isprintable()
    assert re.fullmatch(r"The file is refused: it .*[^.]\.", sentence)


@pytest.mark.parametrize("start", ["<!---->" * 140, "#" + "\n" * 1000, '"""a"""\n' * 120])
def test_no_text_takes_long(tmp_path: Path, start: str) -> None:
    began = time.process_time()
    assert "it is " in said(tmp_path / "file", f"{start}x".encode())
    assert time.process_time() - began < 1


def numpy_archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as file:
        entry = tarfile.TarInfo("model.pth")
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(mlp(), torch.zeros(1, 1, 28, 28)), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "TorchScript": scripted,
    "TorchScript archive": lambda: archive(members_of(scripted()), 8),
    "TorchScript.*code": lambda: archive({"model/bytecode.pkl": b"x", "model/data.pkl": b"x", "model/version": b"3"}),
    "NumPy arrays": numpy_archive,
    "Keras": lambda: archive({"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"x"}),
    "Core ML package": lambda: archive({"m.mlpackage/Manifest.json": b"", "m.mlpackage/Data/com.apple.CoreML/x": b""}),
    r"other files \(policy.pth, data, system_info.txt and 1 more\); unpack it": lambda: archive(
        {"policy.pth": b"x", "data": b"{}", "system_info.txt": b"", "pytorch_variables.pth": b""}
    ),
    "empty zip archive": lambda: archive({}),
    "tar archive": lambda: tar(saved(mlp().state_dict())),
    "cut off": lambda: saved(mlp().state_dict())[:100_000],
    "a .pt2 of torch before": lambda: archive({"serialized_exported_program.json": b"{}", "version": b"8.1"}),
}


@pytest.mark.parametrize("words", ARCHIVES)
def test_an_archive_of_another_kind_is_called_by_its_name(tmp_path: Path, words: str) -> None:
    sentence = said(tmp_path / "model.pt", ARCHIVES[words]())
    assert re.search(words, sentence), sentence


CUT: dict[str, Callable[[], bytes]] = {
    "safetensors": lambda: safetensors.torch.save(mlp().state_dict()),
    "before torch 1.6": lambda: saved(mlp().state_dict(), _use_new_zipfile_serialization=False),
    "zip": lambda: saved(mlp().state_dict()),
}


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("length", [100, 300, 5_000, -10])
def test_download_that_broke_off_is_called_so(tmp_path: Path, kind: str, length: int) -> None:
    assert "it is cut off, as by a download" in said(tmp_path / "model", CUT[kind]()[:length])


def test_what_would_run_code_is_never_recommended(tmp_path: Path) -> None:
    assert "jit.load" not in said(tmp_path / "model.pt", scripted())


def test_a_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="folder"):
        inspect(tmp_path)
