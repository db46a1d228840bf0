"""What a file is that torch did not write: its name in a few words, and what to do with it.

Each sentence completes "The file is refused: …". Signatures: those of ``file``, https://www.darwinsys.com/file.
"""

import io
import re
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from fashion_core.formats.untrusted.values import listed

START_BYTES = 1024
_CONVERT = "load it with the library that made it, and save its weights with torch.save or safetensors"
_UNPACK = "unpack it and use the file in it"
_FROM_NUMPY = "make a state_dict of its numbers with torch.from_numpy, and save that"
_AGAIN = "download the file itself: the address led to something else"
_NO_WEIGHTS = "it holds no weights; choose the model file"
_SAVE = "save the model's state_dict with torch.save instead"
_ONE_FILE = "turn it into one file where it was made, with torch.distributed.checkpoint.format_utils"

_STARTS: Sequence[tuple[bytes | tuple[bytes, ...], str, str]] = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself",
     "run git lfs pull, and use the file that takes its place"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes (.h5)", _CONVERT),
    ((b"GGUF", b"FUGG"), "a GGUF file, of llama.cpp", _CONVERT),
    ((b"lmgg", b"fmgg", b"tjgg", b"algg"), "a GGML file, of an early llama.cpp or whisper.cpp", _CONVERT),
    (b"\x93NUMPY", "a NumPy array (.npy)", _FROM_NUMPY),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", _UNPACK),
    (b"\x04\x22\x4d\x18", "compressed with LZ4", _UNPACK),
    (b"\x78\x9c", "compressed with zlib, as joblib does", _CONVERT),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", _AGAIN),
    (b"PK\x07\x08", "one part of a zip archive in several parts", "put the parts together first"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", _NO_WEIGHTS),
    (b"\xff\xd8\xff", "a JPEG image", _NO_WEIGHTS),
    (b"GIF8", "a GIF image", _NO_WEIGHTS),
    ((b"II*\0", b"MM\0*"), "a TIFF image", _NO_WEIGHTS),
    (b"%PDF", "a PDF document", _NO_WEIGHTS),
    (b"SQLite format 3\0", "an SQLite database", _NO_WEIGHTS),
    (b"PAR1", "a Parquet table", _NO_WEIGHTS),
    (b"ARROW1", "an Arrow table", _NO_WEIGHTS),
    (b"MATLAB 5.0", "a MATLAB file (.mat)", _CONVERT),
    (b"\x7fELF", "a program or library for Linux", _NO_WEIGHTS),
    (b"MZ", "a program or library for Windows", _NO_WEIGHTS),
)  # fmt: skip
_INSIDE: Sequence[tuple[int, bytes, str, str]] = (
    (4, b"TFL3", "a TensorFlow Lite model (.tflite)", _CONVERT),
    (4, b"ET12", "an ExecuTorch program (.pte), which is compiled for a device", _SAVE),
    (8, b"WEBP", "a WebP image", _NO_WEIGHTS),
    (8, b"WAVE", "a sound file", _NO_WEIGHTS),
    (4, b"ftyp", "a video or an image of the MP4 family", _NO_WEIGHTS),
    (257, b"ustar", "a tar archive", _UNPACK),
)
_TABLE_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # of LevelDB, whose tables TensorFlow uses
_NAMES: Sequence[tuple[str, str, str]] = (
    (r"\.crdownload$|\.part(ial)?$|\.download$|\.tmp$|\.aria2$", "a download that has not finished",
     "wait for its end, or download it again"),
    (r"\.data-\d{5}-of-\d{5}$", "the numbers of a TensorFlow checkpoint (.data-…)", _CONVERT),
    (r"saved_model\.pb$", "a SavedModel of TensorFlow", _CONVERT),
    (r"\.onnx$", "an ONNX model", _CONVERT),
    (r"\.mlmodel$", "a Core ML model", _CONVERT),
    (r"\.caffemodel$", "a Caffe model", _CONVERT),
    (r"\.pb$", "a graph of TensorFlow (.pb)", _CONVERT),
    (r"\.msgpack$", "a checkpoint of Flax (.msgpack)", _CONVERT),
    (r"\.(engine|plan|trt)$", "a TensorRT engine, which is compiled for one device", _SAVE),
)  # fmt: skip
_FOLDERS: Sequence[tuple[str, str, str]] = (
    (".metadata", "a distributed checkpoint of torch, which is a folder", _ONE_FILE),
    ("saved_model.pb", "a SavedModel of TensorFlow, which is a folder", _CONVERT),
    ("Data/com.apple.CoreML", "a Core ML package, which is a folder", _CONVERT),
)  # fmt: skip
_COMMENTS = r"(?>(<!--.*?-->\s*)*)"  # here and below ``(?>`` never goes back: no text takes long
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_TEXTS: Sequence[tuple[str, str, str]] = (
    (_COMMENTS + r"<(!doctype html|html|head|body|title|script|meta)\b", "a web page (HTML)", _AGAIN),
    (r"(<\?xml[^>]*>\s*)?<Error>", "an error message of a storage server (XML)", _AGAIN),
    (r"(<\?xml[^>]*>\s*)?" + _COMMENTS + r"<(!doctype )?svg", "an SVG image", _NO_WEIGHTS),
    (r"(<\?xml[^>]*>\s*)?<net\b", "the description of an OpenVINO model (.xml)", _CONVERT),
    (r"<(\?xml|[a-z!])", "an XML or HTML text", _AGAIN),
    (r'\s*\{.*("weight_map"|"metadata"\s*:\s*\{\s*"total_size")',
     "the index of a checkpoint in several files (.index.json)", "put the shards into one state_dict, and save that"),
    (r'\s*\{.*"(error|message|detail|errors|status)"', "an error message of a server (JSON)", _AGAIN),
    (r'\s*\{.*"(architectures|model_type|hidden_size)"', "a model's settings (config.json)", _NO_WEIGHTS),
    (r'\s*\{.*"(cells|nbformat)"', "a Jupyter notebook", _NO_WEIGHTS),
    (r"\s*[\[{]\s*[\"\[\]{}\d-]", "a JSON text", _NO_WEIGHTS),
    (r"model_checkpoint_path:", "the list of a TensorFlow folder's checkpoints", _CONVERT),
    (r"(?>(#[^\n]*\n\s*|\"\"\".*?\"\"\"\s*)*)(import |from \w[\w.]* import |def |class )", "Python source",
     "run it where the model is made, and use the file that it saves"),
    (r"c[\w.]+\n[\w.]+\n|\((d|l|i)p?\d*\n", "a pickle of an old protocol", _SAVE),
    (r"7767517\s", "the description of an ncnn model (.param)", _CONVERT),
    (r"[^\n,;\t]*([,;\t][^\n,;\t]*)+\n", "a table of text, such as CSV", _NO_WEIGHTS),
)  # fmt: skip

_MEMBERS: Sequence[tuple[str, str, str]] = (
    (r"^([^/]+/)?(code/|constants\.pkl$|bytecode\.pkl$|attributes\.pkl$)", "a TorchScript archive, which carries code",
     _SAVE),
    (r"^([^/]+/)?\.data/extern_modules$", "a torch.package archive, which carries code", _SAVE),
    (r"^[^/]+/data/aotinductor/", "a .pt2 that AOTInductor has compiled for one kind of machine", _SAVE),
    (r"^[^/]+/(data\.pkl|archive_format)$", "", ""),  # torch.save and torch.export.save
    (r"^[^/]+/\.data/serialization_id$", "what torch.save left when it broke off before any weights were written",
     "save the state_dict alone"),
    (r"^(.+/)?serialized_exported_program\.json$", "a .pt2 of torch before 2.9", "export it again with a newer torch"),
    (r"^(.+/)?model\.weights\.h5$", "a Keras model (.keras)", _CONVERT),
    (r"(^|/)saved_model\.pb$", "a SavedModel of TensorFlow, zipped", _CONVERT),
    (r"com\.apple\.CoreML", "a Core ML package, zipped", _CONVERT),
    (r"^\[Content_Types\]\.xml$", "an Office document", _NO_WEIGHTS),
    (r"\.dist-info/METADATA$", "a Python package (.whl)", "install it, and use the model file that it brings"),
    (r"^(META-INF/MANIFEST\.MF|AndroidManifest\.xml)$", "a Java or Android program", _NO_WEIGHTS),
)  # fmt: skip


def _sentence(name: str, advice: str) -> str:
    return f"it is {name}; {advice}"


def of_file(name: str, start: bytes, file: BinaryIO) -> str:
    """Tell what a file is that is neither torch's nor safetensors': by its first bytes, then by its name."""
    if not start:
        return "it is empty; save or download it again"
    if not start.strip(b"\0"):
        return "it holds only zeros, as after a download or a copy that broke off; fetch it again"
    found = next(((what, advice) for sign, what, advice in _STARTS if start.startswith(sign)), None)
    found = found or next(((what, to) for at, sign, what, to in _INSIDE if start[at : at + len(sign)] == sign), None)
    found = found or _by_end(file) or _protobuf(name, start) or _text(start) or _named(name)
    if found:
        return _sentence(*found)
    if zipfile.is_zipfile(file):
        return "there is data before its zip archive"
    if _is_tar(file):
        return _sentence("a tar archive", _UNPACK)
    return "it is not a file that torch or safetensors writes"


def _named(name: str) -> tuple[str, str] | None:
    return next(((what, advice) for sign, what, advice in _NAMES if re.search(sign, name, re.IGNORECASE)), None)


def _by_end(file: BinaryIO) -> tuple[str, str] | None:
    file.seek(max(0, file.seek(0, io.SEEK_END) - len(_TABLE_END)))
    return ("a checkpoint index of TensorFlow (.index)", _CONVERT) if file.read() == _TABLE_END else None


def _text(start: bytes) -> tuple[str, str] | None:
    encoding = next((encoding for mark, encoding in _MARKS.items() if start.startswith(mark)), "utf-8")
    text = start.decode(encoding, "replace").lstrip()
    if "\0" in text or text.count("\ufffd") > 3 or not all(letter.isprintable() or letter.isspace() for letter in text):
        return None
    found = (pair for sign, *pair in _TEXTS if re.match(sign, text, re.IGNORECASE | re.DOTALL))
    what, advice = next(found, ("a text", _NO_WEIGHTS))
    return what, advice


def _protobuf(name: str, start: bytes) -> tuple[str, str] | None:
    """ONNX, Core ML and TensorFlow's SavedModel begin with a small version number, then a text or another message."""
    fields = rb"\x08([\x01-\x14])(\x12[\x80-\xff]*[\x00-\x7f](.)|[\x1a\x22\x28\x32\x3a\x42])"
    if not (found := re.match(fields, start, re.DOTALL)):
        return None
    if found[3] != b"\n":
        return "an ONNX model", _CONVERT
    is_apples = found[1] != b"\x01" or name.lower().endswith(".mlmodel")
    return "a Core ML model" if is_apples else "a SavedModel of TensorFlow", _CONVERT


def _is_tar(file: BinaryIO) -> bool:
    file.seek(0)
    try:
        tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def of_folder(folder: Path) -> str:
    """Tell what a folder is that stands for a model; nothing if it is any other."""
    found = (_sentence(what, advice) for name, what, advice in _FOLDERS if (folder / name).exists())
    return next(found, "")


def of_archive(names: Sequence[str]) -> str:
    """Tell what a zip archive is by the names of its members; nothing if it may be torch's own."""
    for sign, what, advice in _MEMBERS:
        if any(re.search(sign, name) for name in names):
            return _sentence(what, advice) if what else ""
    if all(name.endswith(".npy") for name in names):
        return _sentence("an archive of NumPy arrays (.npz)", _FROM_NUMPY)
    files = [name for name in names if not name.endswith("/")]
    return _sentence(f"a zip archive of other files ({listed(files or names)})", _UNPACK)


def of_pickle(names: Sequence[str], start: bytes) -> str:
    """Tell what a pickle is that torch did not write, by what it refers to."""
    if made_by := re.search(rb"sklearn|xgboost|lightgbm|catboost|joblib|tensorflow|keras", start):
        return _sentence(f"a pickle of {made_by[0].decode()}", "this app takes models of PyTorch alone")
    if any(name.startswith("torch.distributed.checkpoint.") for name in names):
        return _sentence("the index of a distributed checkpoint (.metadata), not its numbers", _ONE_FILE)
    refers = f", and refers to {', '.join(names[:3])}" if names else ""
    return _sentence(f"a pickle, but not one that torch wrote{refers}", _SAVE)
