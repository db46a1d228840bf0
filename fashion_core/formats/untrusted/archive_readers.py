"""Read a zip archive of ``torch.save``, or a .pt2 program of ``torch.export``, and use nothing but its numbers.

Formats: torch/serialization.py and torch/export/pt2_archive of https://github.com/pytorch/pytorch
"""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.pickle import Pickle, read_pickle
from fashion_core.formats.untrusted.saved_file import Container, Place, SavedFile
from fashion_core.formats.untrusted.values import SavedTensor, Storage, are_sizes, parse_json
from fashion_core.formats.untrusted.zip_archive import Archive, Member

MAX_PICKLE_BYTES = 1 << 20
_ZIP_MEMBERS = {"data.pkl", "byteorder", "version", ".format_version", ".storage_alignment", ".data/serialization_id"}
_WEIGHTS = "data/weights/"
_WEIGHTS_CONFIG = f"{_WEIGHTS}model_weights_config.json"
_CONSTANTS_CONFIG = "data/constants/model_constants_config.json"
_SAMPLES = "data/sample_inputs/model.pt"
_PT2_MEMBERS = {_WEIGHTS_CONFIG, _CONSTANTS_CONFIG, _SAMPLES, "models/model.json", "archive_format", "archive_version"}
_PT2_MEMBERS |= {"byteorder", ".data/version", ".data/serialization_id"}
_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
           12: "bool", 13: "bfloat16"}  # fmt: skip


def read_archive(path: Path, file: BinaryIO) -> SavedFile:
    """Read what ``torch.save`` or ``torch.export.save`` writes. Raises ``RefusedFileError``."""
    archive = Archive(file)
    root = _root(archive)
    parts = {name.removeprefix(root): member for name, member in archive.members.items()}
    if any(part.startswith("code/") or part == "constants.pkl" for part in parts):
        raise RefusedFileError("it is a TorchScript archive, which carries code; save the state_dict instead")
    if ".data/serialization_id" in parts:
        archive.check_fingerprint(f"{root}.data/serialization_id")
    if "byteorder" in parts and archive.read(f"{root}byteorder", 10) != b"little":
        raise RefusedFileError("its numbers are big-endian; save it on a machine like this one")
    container: Container = "pt2" if "archive_format" in parts else "zip"
    pickle = _read_program(archive, root, parts) if container == "pt2" else _read_pickle(archive, root)
    places = _places(container, parts, pickle.storages)
    members = tuple((member.name, member.bytes) for member in archive.members.values())
    size = file.seek(0, io.SEEK_END)
    return SavedFile(path, container, size, pickle.content, pickle.names, places, members, records=pickle.records)


def _root(archive: Archive) -> str:
    """The one folder that all members are in, with its slash."""
    folder = next(iter(archive.members)).partition("/")[0]
    if folder in ("", ".", "..") or not all(name.startswith(f"{folder}/") for name in archive.members):
        raise RefusedFileError("the members of its zip archive are not in one folder")
    return f"{folder}/"


def _read_pickle(archive: Archive, root: str) -> Pickle:
    data = archive.read(f"{root}data.pkl", MAX_PICKLE_BYTES)
    pickle = read_pickle(data)
    if pickle.end != len(data):
        raise RefusedFileError("there is data after its pickle")
    return pickle


def _places(container: Container, parts: Mapping[str, Member], storages: Mapping[str, Storage]) -> dict[str, Place]:
    """Check that each storage is a member of its size, and that no member is anything else."""
    known, folder = (_PT2_MEMBERS, _WEIGHTS) if container == "pt2" else (_ZIP_MEMBERS, "data/")
    expected = known | {f"{folder}{key}" for key in storages}
    if unknown := next((part for part in parts if part not in expected), None):
        raise RefusedFileError(f"its zip archive holds {unknown}, which belongs to no tensor in it")
    places = {}
    for key, storage in storages.items():
        part, member = f"{folder}{key}", parts.get(f"{folder}{key}")
        if member is None or member.bytes != storage.bytes:
            raise RefusedFileError(f"the numbers in {part} are missing, or not of the size that its pickle says")
        places[key] = Place(member.offset, member.bytes)
    # Torch writes storages by their keys, as numbers or (before 2.1) as texts: renamed ones stand out of order.
    keys = sorted(places, key=lambda key: places[key].offset)
    if keys not in (sorted(keys), sorted(keys, key=lambda key: (len(key), key))):
        raise RefusedFileError("the members of its zip archive are not in the order in which torch writes them")
    return places


def _read_program(archive: Archive, root: str, parts: Mapping[str, Member]) -> Pickle:
    """Read the weights of an exported program; its graph is not run, and its sample inputs are only looked through."""
    if archive.read(f"{root}archive_format", 10) != b"pt2":
        raise RefusedFileError("it is an archive of an unknown kind")
    samples = Pickle(None, frozenset(), {}, 0, 0)
    if _SAMPLES in parts:
        inner = Archive(io.BytesIO(archive.read(f"{root}{_SAMPLES}", MAX_PICKLE_BYTES)))
        samples = _read_pickle(inner, _root(inner))
    content = {name: _tensor(value) for name, value in _config(archive, f"{root}{_WEIGHTS_CONFIG}").items()}
    if _config(archive, f"{root}{_CONSTANTS_CONFIG}"):
        raise RefusedFileError("it holds constants beside its weights, which no model of this app has")
    storages: dict[str, Storage] = {}
    for tensor in content.values():
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise RefusedFileError("two tensors in it describe the same numbers differently")
    return replace(samples, content=content, storages=storages)


def _config(archive: Archive, member: str) -> dict[str, Any]:
    config = parse_json(archive.read(member, MAX_PICKLE_BYTES)).get("config")
    if not isinstance(config, dict):
        raise RefusedFileError("its weights are not described as torch.export describes them")
    return config


def _tensor(described: Any) -> SavedTensor:
    try:
        meta = described["tensor_meta"]
        shape, stride = (tuple(number["as_int"] for number in meta[part]) for part in ("sizes", "strides"))
        offset, dtype = meta["storage_offset"]["as_int"], _DTYPES[meta["dtype"]]
        key, pickled = described["path_name"], described["use_pickle"]
        is_view = all(map(are_sizes, ((offset,), shape, stride))) and len(shape) == len(stride)
        if not isinstance(key, str) or pickled is not False or not is_view:
            raise TypeError("no view of a member")
    except (KeyError, TypeError) as error:
        raise RefusedFileError("a tensor in it is not described as torch.export describes one") from error
    view = SavedTensor(Storage(dtype, key, 0), offset, shape, stride)
    if view.numel > view.span:
        raise RefusedFileError("a tensor in it claims more numbers than the file holds")
    return replace(view, storage=Storage(dtype, key, offset + view.span))
