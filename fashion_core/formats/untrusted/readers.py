"""Open a saved file from anyone: torch's zip, torch's format before 1.6, safetensors, and ``torch.export``'s .pt2.

Formats: torch/serialization.py and torch/export/pt2_archive of https://github.com/pytorch/pytorch, and
https://github.com/huggingface/safetensors#format
"""

import io
import json
import stat
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from fashion_core import files
from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.pickle import MAX_OPCODES, Pickle, read_pickle
from fashion_core.formats.untrusted.saved_file import Place, SavedFile, check_claims, check_count, storage_size
from fashion_core.formats.untrusted.values import MAX_NODES, SavedTensor, Storage, are_sizes
from fashion_core.formats.untrusted.zip_archive import MAX_MEMBERS, ZIP_START, Archive, Member

MAX_PICKLE_BYTES = 1 << 20
_SHOWN = 3
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_LEGACY_OPCODES = (10, 10, 100, MAX_OPCODES, 4 * MAX_MEMBERS)
"""For its five pickles: magic number, protocol, the machine's number sizes, content, keys of the storages."""
_ZIP_MEMBERS = frozenset(
    {"data.pkl", "byteorder", "version", ".format_version", ".storage_alignment", ".data/serialization_id"}
)
_PT2_MEMBERS = frozenset(
    {
        "models/model.json",
        "data/weights/model_weights_config.json",
        "data/constants/model_constants_config.json",
        "data/sample_inputs/model.pt",
        "archive_format",
        "archive_version",
        "byteorder",
        ".data/version",
        ".data/serialization_id",
    }
)
_PT2_WEIGHTS = "data/weights/"
_PT2_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
               12: "bool", 13: "bfloat16"}  # fmt: skip
OURS = "fashion_core."
"""What the keys begin with that this app writes into the metadata of a safetensors file."""
_SAFETENSORS_DTYPES = {"F32": "float32", "F64": "float64", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
                       "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}  # fmt: skip


def read_saved_file(path: Path) -> SavedFile:
    """Read the description of a file, not its numbers, through the first two doors.

    Raises ``RefusedFileError`` with the reason, ``DiskError`` if it can't be read.
    """
    refuse_devices(path)
    with files.disk_errors(path), path.open("rb") as file:
        found = _open(path, file)
    check_claims(found.content, found.size)
    return found


def refuse_devices(path: Path) -> None:
    """Raise ``RefusedFileError`` for what may be read without end, or only once; ``DiskError`` if it can't be found."""
    with files.disk_errors(path):
        mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise RefusedFileError("it is a device or a pipe, not a file")


def _open(path: Path, file: BinaryIO) -> SavedFile:
    """The length of a safetensors header may begin with any byte, so its first character is looked at first."""
    start = file.read(10)
    if start[8:9] == b"{":
        return _open_safetensors(path, file)
    if start.startswith(ZIP_START):
        return _open_zip(path, file)
    if start.startswith(b"\x80"):
        return _open_legacy(path, file)
    if zipfile.is_zipfile(file):
        raise RefusedFileError("something stands in front of its zip archive")
    raise RefusedFileError("it is empty" if not start else "it is no file that torch or safetensors writes")


def _open_zip(path: Path, file: BinaryIO) -> SavedFile:
    archive = Archive(file)
    root = _root(archive)
    parts = {name.removeprefix(root): member for name, member in archive.members.items()}
    if any(part.startswith("code/") or part == "constants.pkl" for part in parts):
        raise RefusedFileError("it is a TorchScript archive, which carries code; save the state_dict instead")
    if ".data/serialization_id" in parts:
        archive.check_fingerprint(f"{root}.data/serialization_id")
    if "byteorder" in parts and archive.read(f"{root}byteorder", 10) != b"little":
        raise RefusedFileError("its numbers are big-endian; save it on a machine like this one")
    if "archive_format" in parts:
        return _open_pt2(path, archive, root, parts)
    pickle = _whole_pickle(archive.read(f"{root}data.pkl", MAX_PICKLE_BYTES))
    return _from_archive(path, archive, pickle, parts, _ZIP_MEMBERS, "data/")


def _root(archive: Archive) -> str:
    """The one folder that all members are in, with its slash."""
    folder = next(iter(archive.members)).partition("/")[0]
    if folder in ("", ".", "..") or not all(name.startswith(f"{folder}/") for name in archive.members):
        raise RefusedFileError("the members of its zip archive are not in one folder")
    return f"{folder}/"


def _whole_pickle(data: bytes) -> Pickle:
    pickle = read_pickle(data)
    if pickle.end != len(data):
        raise RefusedFileError("something stands behind the end of its pickle")
    return pickle


def _from_archive(
    path: Path,
    archive: Archive,
    pickle: Pickle,
    parts: Mapping[str, Member],
    known: frozenset[str],
    folder: str,
) -> SavedFile:
    """Each storage is a member of its size, and no member is anything else."""
    expected = known | {f"{folder}{key}" for key in pickle.storages}
    for part in parts:
        if part not in expected:
            raise RefusedFileError(f"its zip archive holds {part}, which belongs to no tensor in it")
    places = {key: _place(parts, f"{folder}{key}", storage) for key, storage in pickle.storages.items()}
    _check_order(places)
    return SavedFile(
        path=path,
        container="pt2" if known is _PT2_MEMBERS else "zip",
        size=archive.file.seek(0, io.SEEK_END),
        content=pickle.content,
        names=pickle.names,
        places=places,
        members=tuple((member.name, member.bytes) for member in archive.members.values()),
        records=pickle.records,
    )


def _place(parts: Mapping[str, Member], part: str, storage: Storage) -> Place:
    member = parts.get(part)
    if member is None or member.bytes != storage_size(storage):
        raise RefusedFileError(f"the numbers in {part} are missing or of another size than its pickle says")
    return Place(member.offset, member.bytes, member.name)


def _check_order(places: Mapping[str, Place]) -> None:
    """Torch writes storages by their keys, as numbers or (before 2.1) as texts: renamed ones stand out of order."""
    keys = sorted(places, key=lambda key: places[key].offset)
    if keys not in (sorted(keys), sorted(keys, key=lambda key: (len(key), key))):
        raise RefusedFileError("the members of its zip archive are not in the order in which torch writes them")


def _open_pt2(path: Path, archive: Archive, root: str, parts: Mapping[str, Member]) -> SavedFile:
    """The numbers of an exported program; its graph is not run, and its sample inputs are only looked through."""
    if archive.read(f"{root}archive_format", 10) != b"pt2":
        raise RefusedFileError("it is an archive of an unknown kind")
    samples = Pickle(None, frozenset(), {}, 0, 0)
    if "data/sample_inputs/model.pt" in parts:
        samples = _samples(archive.read(f"{root}data/sample_inputs/model.pt", MAX_PICKLE_BYTES))
    described = _config(archive, f"{root}{_PT2_WEIGHTS}model_weights_config.json")
    if _config(archive, f"{root}data/constants/model_constants_config.json"):
        raise RefusedFileError("it holds constants beside its weights, which no model of this app has")
    content = {name: _pt2_tensor(value) for name, value in described.items()}
    pickle = Pickle(content, samples.names, _storages_of(content), samples.records, 0)
    return _from_archive(path, archive, pickle, parts, _PT2_MEMBERS, _PT2_WEIGHTS)


def _storages_of(content: Mapping[str, SavedTensor]) -> dict[str, Storage]:
    storages: dict[str, Storage] = {}
    for tensor in content.values():
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise RefusedFileError("two tensors in it describe the same numbers differently")
    return storages


def _config(archive: Archive, member: str) -> dict[str, Any]:
    config = _json(archive.read(member, MAX_PICKLE_BYTES)).get("config")
    if not isinstance(config, dict):
        raise RefusedFileError("its weights are not described as torch.export describes them")
    return config


def _samples(data: bytes) -> Pickle:
    inner = Archive(io.BytesIO(data))
    return _whole_pickle(inner.read(f"{_root(inner)}data.pkl", MAX_PICKLE_BYTES))


def _pt2_tensor(described: Any) -> SavedTensor:
    try:
        meta = described["tensor_meta"]
        shape = tuple(size["as_int"] for size in meta["sizes"])
        stride = tuple(step["as_int"] for step in meta["strides"])
        offset, dtype = meta["storage_offset"]["as_int"], _PT2_DTYPES[meta["dtype"]]
        key, pickled = described["path_name"], described["use_pickle"]
    except (KeyError, TypeError) as error:
        raise RefusedFileError("a tensor in it is not described as torch.export describes one") from error
    if not isinstance(key, str) or pickled is not False or not _is_view(offset, shape, stride):
        raise RefusedFileError("a tensor in it is not described as torch.export describes one")
    view = SavedTensor(Storage(dtype, key, 0), offset, shape, stride)
    if view.numel > view.span:
        raise RefusedFileError("a tensor in it claims more numbers than the file holds")
    return SavedTensor(Storage(dtype, key, offset + view.span), offset, shape, stride)


def _is_view(offset: Any, shape: tuple[Any, ...], stride: tuple[Any, ...]) -> bool:
    return are_sizes((offset,), shape, stride) and len(shape) == len(stride)


def _open_legacy(path: Path, file: BinaryIO) -> SavedFile:
    """Five pickles, one behind the other, then each storage: its number of elements and its bytes."""
    file.seek(0)
    data = file.read(MAX_PICKLE_BYTES)
    pickles: list[Pickle] = []
    _check_magic(data)
    for most in _LEGACY_OPCODES:
        pickles.append(read_pickle(data, pickles[-1].end if pickles else 0, most))
    _, protocol, system, content, keys = pickles
    if protocol.content != _LEGACY_PROTOCOL or not _is_little_endian(system.content):
        raise RefusedFileError("it was written by an unknown torch, or on a big-endian machine")
    return SavedFile(
        path=path,
        container="legacy",
        size=file.seek(0, io.SEEK_END),
        content=content.content,
        names=frozenset(name for pickle in pickles for name in pickle.names),
        places=_legacy_places(file, keys.content, content.storages, keys.end),
        members=(("pickles", keys.end),),
        records=sum(pickle.records for pickle in pickles),
    )


def _check_magic(data: bytes) -> None:
    """A pickle of nobody's is refused with what it refers to, as far as it can be read."""
    with suppress(RefusedFileError):
        if read_pickle(data, 0, _LEGACY_OPCODES[0]).content == _LEGACY_MAGIC:
            return
    names: tuple[str, ...] = ()
    with suppress(RefusedFileError):
        names = tuple(sorted(map(str, read_pickle(data).names)))
    refers = f"; it refers to {', '.join(names[:_SHOWN])}" if names else ""
    raise RefusedFileError(f"it is a pickle, but not one that torch wrote{refers}", names)


def _is_little_endian(system: Any) -> bool:
    return isinstance(system, dict) and system.get("little_endian") is True


def _legacy_places(file: BinaryIO, keys: Any, storages: Mapping[str, Storage], offset: int) -> dict[str, Place]:
    if not isinstance(keys, list) or len(keys) != len(storages) or not _are_all_in(keys, storages):
        raise RefusedFileError("its list of tensors and its tensors don't belong together")
    places = {}
    for key in keys:
        file.seek(offset)
        if file.read(8) != struct.pack("<q", storages[key].numel):
            raise RefusedFileError("its numbers are missing or of another size than its pickle says")
        places[key] = Place(offset + 8, storage_size(storages[key]))
        offset += 8 + places[key].bytes
    if file.seek(0, io.SEEK_END) != offset:
        raise RefusedFileError("it is cut off, or something stands behind its numbers")
    return places


def _are_all_in(keys: list[Any], storages: Mapping[str, Storage]) -> bool:
    return all(isinstance(key, str) for key in keys) and set(keys) == set(storages)


def _open_safetensors(path: Path, file: BinaryIO) -> SavedFile:
    file.seek(0)
    (header_bytes,) = struct.unpack("<Q", file.read(8))
    if header_bytes > MAX_PICKLE_BYTES:
        raise RefusedFileError(f"its header has {header_bytes:,} bytes; {MAX_PICKLE_BYTES:,} are the most allowed")
    header = _json(file.read(header_bytes))
    check_count(len(header))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise RefusedFileError("its metadata are not texts")
    size, start = file.seek(0, io.SEEK_END), 8 + header_bytes
    content = {name: _safetensor(name, entry) for name, entry in header.items()}
    ours = {key.removeprefix(OURS): value for key, value in metadata.items() if key.startswith(OURS)}
    if ours and "sha256" not in ours:
        raise RefusedFileError("its checksum is missing: it was changed or damaged")
    return SavedFile(
        path=path,
        container="safetensors",
        size=size,
        content=content,
        names=frozenset(),
        places=_safetensors_places(header, content, start, size),
        members=(("header", header_bytes),),
        metadata=ours,
        checksum=(described_by(header, metadata), ours["sha256"]) if ours else None,
    )


def described_by(header: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """What the checksum in a safetensors file of this app covers beside the numbers."""
    kept = {key: value for key, value in metadata.items() if key != f"{OURS}sha256"}
    return json.dumps([dict(header), kept], sort_keys=True).encode()


def _safetensor(name: str, entry: Any) -> SavedTensor:
    try:
        dtype, shape = _SAFETENSORS_DTYPES[entry["dtype"]], tuple(entry["shape"])
    except (KeyError, TypeError) as error:
        raise RefusedFileError(f"its tensor {name} is not described as safetensors describes one") from error
    if not are_sizes(shape):
        raise RefusedFileError(f"its tensor {name} has a shape of something else than sizes")
    stride, count = [], 1
    for size in reversed(shape):
        stride.append(count)
        count *= size
    return SavedTensor(Storage(dtype, name, count), 0, shape, tuple(reversed(stride)))


def _safetensors_places(
    header: Mapping[str, Any], content: Mapping[str, SavedTensor], start: int, size: int
) -> dict[str, Place]:
    """The tensors lie side by side and fill the file, as the format asks."""
    places, end = {}, 0
    for offsets, name in sorted((_offsets(header[name]), name) for name in content):
        if offsets != (end, end + content[name].bytes):
            raise RefusedFileError(f"its tensor {name} is not where the header says")
        places[name] = Place(start + end, content[name].bytes)
        end = offsets[1]
    if start + end != size:
        raise RefusedFileError("it is cut off, or something stands behind its tensors")
    return places


def _offsets(entry: Mapping[str, Any]) -> tuple[int, ...]:
    offsets = entry.get("data_offsets")
    if not isinstance(offsets, list) or not are_sizes(tuple(offsets)):
        raise RefusedFileError("its header doesn't say where its tensors are")
    return tuple(offsets)


def _json(data: bytes) -> dict[str, Any]:
    if data.count(b"[") + data.count(b"{") > MAX_NODES:
        raise RefusedFileError("its description is nested or repeated beyond what any model needs")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unlike_keys)
    except (ValueError, RecursionError) as error:
        raise RefusedFileError("its description is not JSON") from error
    if not isinstance(value, dict):
        raise RefusedFileError("its description is not a JSON object")
    return value


def _unlike_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
