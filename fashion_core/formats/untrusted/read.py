"""Read any saved file as inert values: torch's zip, its format before 1.6, safetensors, and .pt2.

Formats: torch/serialization.py and torch/export/pt2_archive of https://github.com/pytorch/pytorch
"""

import io
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from fashion_core import files
from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted import file_kinds
from fashion_core.formats.untrusted.pickle import MAX_OPCODES, Pickle
from fashion_core.formats.untrusted.rebuild import Ledger
from fashion_core.formats.untrusted.safetensors_reader import read_safetensors
from fashion_core.formats.untrusted.saved_file import Container, SavedFile, check_count
from fashion_core.formats.untrusted.values import CUT_OFF, SavedTensor, Storage, are_sizes, parse_json
from fashion_core.formats.untrusted.zip_archive import MAX_MEMBERS, ZIP_START, Archive, Member

MAX_PICKLE_BYTES = 16 << 20
_MAX_METADATA_BYTES = 2 << 20  # the names of a thousand classes, in any script
_ZIP_MEMBERS = {"data.pkl", "byteorder", "version", ".format_version", ".storage_alignment", ".data/serialization_id"}
_WEIGHTS = "data/weights/"
_WEIGHTS_CONFIG = f"{_WEIGHTS}model_weights_config.json"
_CONSTANTS_CONFIG = "data/constants/model_constants_config.json"
_SAMPLES = "data/sample_inputs/model.pt"
PROGRAM_METADATA = "fashion_core.json"  # an extra file that this app writes into a program, as torch calls it
_EXTRA = f"extra/{PROGRAM_METADATA}"
_PT2_MEMBERS = {_WEIGHTS_CONFIG, _CONSTANTS_CONFIG, _SAMPLES, _EXTRA, "models/model.json", "archive_format",
                "archive_version", "byteorder", ".data/version", ".data/serialization_id"}  # fmt: skip
_PT2_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
               9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
               29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
               33: "float8_e8m0fnu", 34: "uint32", 35: "uint64"}  # fmt: skip
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# For the five pickles before torch 1.6: magic number, protocol, the machine's number sizes, content, storage keys.
_MOST_OPCODES = (10, 10, 100, MAX_OPCODES, 4 * MAX_MEMBERS)


def read_saved_file(path: Path) -> SavedFile:
    """Read a file's description, not its numbers: the first two stages.

    Whatever torch reads is described, and more; ``SavedFile.check_usable`` says what of it can't be used. Raises
    ``RefusedFileError`` for other kinds of files, damage, and what takes too much time or memory; ``DiskError``.
    """
    with files.disk_errors(path):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode) and (folder := file_kinds.of_folder(path)):
            raise RefusedFileError(folder)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise RefusedFileError("it is a device or a pipe, not a file")  # which may be read without end, or only once
    with files.disk_errors(path), path.open("rb") as file:
        start = file.read(file_kinds.START_BYTES)
        # First, as the length of its header may begin with any byte:
        if start[8:9] == b"{" and b"\0" in start[:8]:
            found = read_safetensors(path, file)
        elif start.startswith(ZIP_START):
            found = _read_archive(path, file)
        elif start.startswith(b"\x80") and start[1:2] <= b"\5":  # the protocols of pickles
            found = _read_legacy(path, file)
        else:
            raise RefusedFileError(file_kinds.of_file(path.name, start, file))
    check_count(len(found.tensors))
    return found


def _read_archive(path: Path, file: BinaryIO) -> SavedFile:
    """Read what ``torch.save`` or ``torch.export.save`` writes. Raises ``RefusedFileError``."""
    ledger = Ledger()
    archive = Archive(file, ledger)
    if other := file_kinds.of_archive(list(archive.members)):
        raise RefusedFileError(other)
    root = _root(archive)
    parts = {name.removeprefix(root): member for name, member in archive.members.items()}
    if ".data/serialization_id" in parts:
        archive.check_fingerprint(f"{root}.data/serialization_id")
    is_big = "byteorder" in parts and _is_big_endian(archive.read(f"{root}byteorder", 10))
    container: Container = "pt2" if "archive_format" in parts else "zip"
    pickle = _read_program(archive, root, parts) if container == "pt2" else _read_pickle(archive, root)
    places = _zip_places(container, parts, pickle.storages, ledger)
    if is_big:
        ledger.object_to("its numbers are big-endian; load it in torch and save it again")
    if not archive.has_checksums:
        ledger.object_to("it was saved without checksums, so damage to it can't be seen; save it again with them")
    members = tuple((member.name, member.bytes) for member in archive.members.values())
    found = _saved_file(path, file, container, pickle, {} if is_big else places, members)
    metadata = _metadata(archive, root) if container == "pt2" and _EXTRA in parts else {}
    return replace(found, has_checksums=archive.has_checksums, metadata=metadata)


def _saved_file(
    path: Path,
    file: BinaryIO,
    container: Container,
    pickle: Pickle,
    places: Mapping[str, int],
    members: tuple[tuple[str, int], ...],
) -> SavedFile:
    size, names, objections = (
        file.seek(0, io.SEEK_END),
        frozenset(pickle.names.values()),
        tuple(pickle.ledger.objections),
    )
    return SavedFile(
        path, container, size, pickle.content, names, places, members, records=pickle.records, objections=objections
    )


def _root(archive: Archive) -> str:
    """The folder of the first member, with its slash, in which torch looks for all others."""
    folder = next(iter(archive.members)).partition("/")[0]
    if folder in ("", ".", ".."):
        raise RefusedFileError("the members of its zip archive are not in a folder, as torch has them")
    return f"{folder}/"


def _is_big_endian(order: bytes) -> bool:
    if order not in (b"little", b"big"):
        raise RefusedFileError("its byte order is neither little nor big: it is damaged, or not written by torch")
    return order == b"big"


def _read_pickle(archive: Archive, root: str) -> Pickle:
    data = archive.read(f"{root}data.pkl", MAX_PICKLE_BYTES)
    pickle = Pickle(data, ledger=archive.ledger)
    if pickle.end != len(data):
        pickle.ledger.object_to("there is data after its pickle")
    return pickle


def _zip_places(
    container: Container, parts: Mapping[str, Member], storages: Mapping[str, Storage], ledger: Ledger
) -> dict[str, int]:
    """Find each storage's offset; refuse missing or wrong-sized members, and note unexpected ones."""
    known, folder = (_PT2_MEMBERS, _WEIGHTS) if container == "pt2" else (_ZIP_MEMBERS, "data/")
    expected = known | {f"{folder}{key}" for key in storages}
    if strange := next((part for part in parts if part not in expected), ""):
        ledger.object_to(f"its zip archive holds {strange}, which belongs to no tensor in it")
    found = {key: parts.get(f"{folder}{key}") for key in storages}
    for key, member in found.items():
        if member is None or member.bytes != storages[key].bytes:
            raise RefusedFileError(f"the numbers in {folder}{key} are missing, or not of the size that its pickle says")
    places = {key: member.offset for key, member in found.items() if member and not member.compressed}
    # Torch writes storages by their keys, as numbers or (before 2.1) as texts: renamed ones stand out of order.
    keys = sorted(places, key=places.__getitem__)
    if keys not in (sorted(keys), sorted(keys, key=lambda key: (len(key), key))):
        ledger.object_to("the members of its zip archive are not in the order in which torch writes them")
    return places


def _read_program(archive: Archive, root: str, parts: Mapping[str, Member]) -> Pickle:
    """Read the weights of an exported program; its graph is not run, and its sample inputs are only looked through."""
    if archive.read(f"{root}archive_format", 10) != b"pt2":
        raise RefusedFileError("it is an archive of an unknown kind")
    # The pickle of None refers to nothing: where there are no sample inputs.
    samples = Pickle(b"N.", ledger=archive.ledger)
    if _SAMPLES in parts:
        inner = io.BytesIO(archive.read(f"{root}{_SAMPLES}", MAX_PICKLE_BYTES))
        inside = Archive(inner, archive.ledger)
        samples = _read_pickle(inside, _root(inside))
    content = {name: _program_tensor(value) for name, value in _config(archive, f"{root}{_WEIGHTS_CONFIG}").items()}
    if _config(archive, f"{root}{_CONSTANTS_CONFIG}"):
        archive.ledger.object_to("it holds constants beside its weights, which no model of this app has")
    # The samples' names and records are still to be checked; only the weights count as content.
    samples.content, samples.storages = content, {}
    for tensor in content.values():
        if samples.storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            archive.ledger.object_to("two tensors in it describe the same numbers differently")
    return samples


def _metadata(archive: Archive, root: str) -> dict[str, str]:
    metadata = parse_json(archive.read(f"{root}{_EXTRA}", _MAX_METADATA_BYTES))
    if not all(isinstance(value, str) for value in metadata.values()):
        raise RefusedFileError("its metadata is not text")
    return metadata


def _config(archive: Archive, member: str) -> dict[str, Any]:
    config = parse_json(archive.read(member, MAX_PICKLE_BYTES)).get("config")
    if not isinstance(config, dict):
        raise RefusedFileError("its weights are not described as torch.export describes them")
    return config


def _program_tensor(described: Any) -> SavedTensor:
    problem = "a tensor in it is not described as torch.export describes one"
    try:
        meta = described["tensor_meta"]
        shape, stride = (tuple(number["as_int"] for number in meta[part]) for part in ("sizes", "strides"))
        offset, dtype = meta["storage_offset"]["as_int"], _PT2_DTYPES[meta["dtype"]]
        key, pickled = described["path_name"], described["use_pickle"]
        is_view = all(map(are_sizes, ((offset,), shape, stride))) and len(shape) == len(stride)
        if not isinstance(key, str) or pickled is not False or not is_view:
            raise RefusedFileError(problem)
    except (KeyError, TypeError) as error:
        raise RefusedFileError(problem) from error
    view = SavedTensor(Storage(dtype, key, 0), offset, shape, stride)
    return replace(view, storage=Storage(dtype, key, offset + view.span))


def _read_legacy(path: Path, file: BinaryIO) -> SavedFile:
    """Read five pickles, one behind the other, then each storage: its number of elements and its bytes."""
    file.seek(0)
    data = file.read(MAX_PICKLE_BYTES)
    _check_magic(data)
    pickles, ledger = [Pickle(b"N.")], Ledger()
    pickles[0].end = 0
    for most in _MOST_OPCODES:
        pickles.append(Pickle(data, pickles[-1].end, most, ledger))
    *_, protocol, system, content, keys = pickles
    if protocol.content != _PROTOCOL or not isinstance(system.content, dict):
        raise RefusedFileError("it was written by an unknown version of torch")
    places = _legacy_places(file, keys.content, content.storages, keys)
    if system.content.get("little_endian") is not True:
        ledger.object_to("it was written on a big-endian machine; load it in torch and save it again")
        places = {}
    content.names = {key: name for pickle in pickles for key, name in pickle.names.items()}
    content.records = sum(pickle.records for pickle in pickles)
    return _saved_file(path, file, "legacy", content, places, (("pickles", keys.end),))


def _check_magic(data: bytes) -> None:
    """Refuse a pickle that torch did not write, and name what it refers to as far as it can be read."""
    with suppress(RefusedFileError):
        if Pickle(data, 0, _MOST_OPCODES[0]).content == _MAGIC:
            return
    names: tuple[str, ...] = ()
    with suppress(RefusedFileError):
        names = tuple(sorted(map(str, Pickle(data).names.values())))
    raise RefusedFileError(file_kinds.of_pickle(names, data[: file_kinds.START_BYTES]), names)


def _legacy_places(file: BinaryIO, keys: Any, storages: Mapping[str, Storage], last: Pickle) -> dict[str, int]:
    are_texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not are_texts or len(keys) != len(storages) or set(keys) != set(storages):
        raise RefusedFileError("its list of tensors does not match its tensors")
    places, offset, size = {}, last.end, file.seek(0, io.SEEK_END)
    for key in keys:
        file.seek(offset)
        count = file.read(8)
        if count != struct.pack("<q", storages[key].numel):
            is_whole = len(count) == 8
            raise RefusedFileError("its numbers are not of the size that its pickle says" if is_whole else CUT_OFF)
        places[key] = offset + 8
        offset = places[key] + storages[key].bytes
    if offset > size:
        raise RefusedFileError(CUT_OFF)
    if offset < size:
        last.ledger.object_to("there is data after its numbers")
    return places
