"""Read a safetensors file, a JSON header and bytes: https://github.com/huggingface/safetensors#format."""

import io
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fashion_core.errors import RefusedFileError
from fashion_core.formats.untrusted.saved_file import SavedFile, check_count
from fashion_core.formats.untrusted.values import CUT_OFF, SavedTensor, Storage, are_sizes, parse_json

OURS = "fashion_core."  # what the keys begin with that this app writes into the metadata
_MAX_HEADER_BYTES = 4 << 20
_DTYPES = {"F32": "float32", "F64": "float64", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
           "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
           "U16": "uint16", "U32": "uint32", "U64": "uint64", "C64": "complex64", "F8_E4M3": "float8_e4m3fn",
           "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
           "F8_E8M0": "float8_e8m0fnu", "F6_E2M3": "float6_e2m3fn", "F6_E3M2": "float6_e3m2fn",
           "F4": "float4_e2m1fn"}  # fmt: skip


def read_safetensors(path: Path, file: BinaryIO) -> SavedFile:
    file.seek(0)
    (header_bytes,) = struct.unpack("<Q", file.read(8))
    if header_bytes > _MAX_HEADER_BYTES:
        raise RefusedFileError(f"its header has {header_bytes:,} bytes; at most {_MAX_HEADER_BYTES:,} are allowed")
    size = file.seek(0, io.SEEK_END)
    if size < 8 + header_bytes:
        raise RefusedFileError(CUT_OFF)
    file.seek(8)
    header = parse_json(file.read(header_bytes))
    check_count(len(header))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise RefusedFileError("its metadata is not text")
    content = {name: _tensor(name, entry) for name, entry in header.items()}
    ours = {key.removeprefix(OURS): value for key, value in metadata.items() if key.startswith(OURS)}
    if ours and "sha256" not in ours:
        raise RefusedFileError("its checksum is missing: it was changed or damaged")
    places = _places(header, content, 8 + header_bytes, size)
    checksum = (described_by(header, metadata), ours["sha256"]) if ours else None
    members = (("header", header_bytes),)
    return SavedFile(path, "safetensors", size, content, frozenset(), places, members, metadata=ours, checksum=checksum)


def described_by(header: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """What the checksum in a safetensors file of this app covers beside the numbers."""
    covered = {key: value for key, value in metadata.items() if key != f"{OURS}sha256"}
    return json.dumps([dict(header), covered], sort_keys=True).encode()


def _tensor(name: str, entry: Any) -> SavedTensor:
    try:
        dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
    except (KeyError, TypeError) as error:
        raise RefusedFileError(f"its tensor {name} is not described as safetensors describes one") from error
    if not are_sizes(shape):
        raise RefusedFileError(f"its tensor {name} has a shape that is not a list of sizes")
    stride = tuple(math.prod(shape[axis:]) for axis in range(1, len(shape) + 1))
    return SavedTensor(Storage(dtype, name, math.prod(shape)), 0, shape, stride)


def _places(header: Mapping[str, Any], content: Mapping[str, SavedTensor], start: int, size: int) -> dict[str, int]:
    """The tensors lie side by side and fill the file, as the format asks."""
    offsets = {name: header[name].get("data_offsets") for name in content}
    if not all(isinstance(pair, list) and are_sizes(tuple(pair)) for pair in offsets.values()):
        raise RefusedFileError("its header doesn't say where its tensors are")
    places, end = {}, 0
    for pair, name in sorted((tuple(pair), name) for name, pair in offsets.items()):
        if pair != (end, end + content[name].bytes):
            raise RefusedFileError(f"its tensor {name} is not where the header says")
        places[name] = start + end
        end += content[name].bytes
    if start + end != size:
        raise RefusedFileError("there is data after its tensors" if start + end < size else CUT_OFF)
    return places
