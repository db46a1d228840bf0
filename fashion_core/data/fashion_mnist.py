"""The four official files of Fashion-MNIST: find, check and download them.

Names, MD5 sums and address: https://github.com/zalandoresearch/fashion-mnist and ``torchvision.datasets.FashionMNIST``.
"""

import gzip
import hashlib
import http.client
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from fashion_core import files
from fashion_core.config import COMMAND
from fashion_core.errors import DataError, DownloadError

ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
PART_PREFIX = f"{files.TEMPORARY_PREFIX}download-"  # of this app's own: browsers name theirs by an ending
_PIECE_BYTES = 1 << 16
_TIMEOUT_SECONDS = 20


class Archive(NamedTuple):
    """One official file: its size in bytes and MD5, and the MD5 of its content when unpacked."""

    name: str
    bytes: int
    md5: str
    unpacked_md5: str

    @property
    def unpacked_name(self) -> str:  # as torchvision unpacks it
        return self.name.removesuffix(".gz")


ARCHIVES = tuple(
    Archive(f"{name}-ubyte.gz", size, md5, unpacked_md5)
    for name, size, md5, unpacked_md5 in (
        ("train-images-idx3", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        ("train-labels-idx1", 29_515, "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
        ("t10k-images-idx3", 4_422_102, "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
        ("t10k-labels-idx1", 5_148, "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
    )
)
TOTAL_BYTES = sum(archive.bytes for archive in ARCHIVES)
HOW_TO_GET_IT = f"run `{COMMAND} download` or set FASHION_DATA to a folder with the four official .gz files"


def root() -> Path:
    """Return ``FASHION_DATA``, or ``data`` in the working folder."""
    return files.path_of("FASHION_DATA", "data")


def raw_folder() -> Path:
    """Where torchvision, and so ``download``, puts the files."""
    return root() / "FashionMNIST" / "raw"


def are_present() -> bool:
    """Whether all four files exist; ``check`` reads them."""
    return all(any(path.is_file() for path, _ in _candidates(archive)) for archive in ARCHIVES)


def check() -> None:
    """Raise ``DataError`` unless all four files are there and are the official ones."""
    for archive in ARCHIVES:
        find(archive)


def find(archive: Archive) -> Path:
    """Find an official file, packed or unpacked, and check it. Raises ``DataError`` or ``DiskError``."""
    present = [(path, md5) for path, md5 in _candidates(archive) if path.is_file()]
    for path, md5 in present:
        if _md5(path) == md5:
            return path
    if present:
        raise DataError(f"{present[0][0]} is not the official file (its MD5 differs): delete it; then {HOW_TO_GET_IT}.")
    raise DataError(f"Fashion-MNIST is not in {root()} ({archive.name} is missing): {HOW_TO_GET_IT}.")


def _candidates(archive: Archive) -> Iterator[tuple[Path, str]]:
    for folder in (raw_folder(), root()):
        yield folder / archive.name, archive.md5
        yield folder / archive.unpacked_name, archive.unpacked_md5


def _md5(path: Path) -> str:
    with files.disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def unpack(archive: Archive) -> bytes:
    """Read the content of an official file. Raises ``DataError`` or ``DiskError``."""
    path = find(archive)
    with files.disk_errors(path):
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def download(progress: Callable[[int, int], object], address: str = ADDRESS) -> None:
    """Fetch what is missing and check each file before it gets its name; another try continues where this one stopped.

    ``progress`` is called with the bytes present and the bytes in all. Raises ``DownloadError`` or ``DiskError``.
    """
    folder, done = raw_folder(), 0
    with files.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with files.disk_errors(folder), FileLock(root() / ".download.lock"):  # one at a time; the others find it done
        for archive in ARCHIVES:
            if not _is_official(folder / archive.name, archive):
                _fetch(archive, folder, address, done, progress)
            done += archive.bytes
            progress(done, TOTAL_BYTES)


def _is_official(path: Path, archive: Archive) -> bool:
    return path.is_file() and _md5(path) == archive.md5


def _fetch(archive: Archive, folder: Path, address: str, done: int, progress: Callable[[int, int], object]) -> None:
    part = folder / f"{PART_PREFIX}{archive.name}"
    try:
        _append_rest(address + archive.name, part, archive, done, progress)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        advice = f"connect to the network and try again, or copy the four official .gz files into {folder}."
        raise DownloadError(f"{archive.name} could not be fetched ({reason}): {advice}") from error
    if not _is_official(part, archive):
        part.unlink()
        raise DownloadError(f"What arrived as {archive.name} is not the official file (its MD5 differs): try again.")
    part.replace(folder / archive.name)


def _append_rest(url: str, part: Path, archive: Archive, done: int, progress: Callable[[int, int], object]) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= archive.bytes:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            part.unlink(missing_ok=True)
        while piece := answer.read(_PIECE_BYTES):
            with files.disk_errors(part), part.open("ab") as file:
                file.write(piece)
                progress(done + file.tell(), TOTAL_BYTES)
        if answer.length:  # http.client ends a broken body as if it were whole
            raise ConnectionError("the connection broke")
