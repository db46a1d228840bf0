"""Finding, checking and fetching the four official files; small archives stand in for the large ones."""

import gzip
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fashion_core.data import fashion_mnist
from fashion_core.data.fashion_mnist import Archive
from fashion_core.errors import DataError, DiskError, DownloadError
from tests.support.files import small_disk

CONTENTS = {archive.unpacked_name: (archive.unpacked_name * 40_000).encode() for archive in fashion_mnist.ARCHIVES}
PACKED = {f"{name}.gz": gzip.compress(content, compresslevel=0, mtime=0) for name, content in CONTENTS.items()}
FIRST = next(iter(PACKED))


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and small archives that count as the official ones."""
    archives = tuple(Archive(name, len(data), md5(data), md5(gzip.decompress(data))) for name, data in PACKED.items())
    monkeypatch.setattr(fashion_mnist, "ARCHIVES", archives)
    monkeypatch.setattr(fashion_mnist, "TOTAL_BYTES", sum(archive.bytes for archive in archives))
    monkeypatch.setenv("FASHION_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def problem() -> str:
    with pytest.raises(DataError) as caught:
        fashion_mnist.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("inner", [".", "FashionMNIST/raw"])
@pytest.mark.parametrize("files", [PACKED, CONTENTS], ids=["packed", "unpacked"])
def test_packed_or_unpacked_files_are_enough(root: Path, inner: str, files: dict[str, bytes]) -> None:
    put(root / inner, files)
    fashion_mnist.check()
    assert fashion_mnist.are_present()
    assert [fashion_mnist.unpack(archive) for archive in fashion_mnist.ARCHIVES] == list(CONTENTS.values())


def test_missing_file_is_named_with_how_to_get_it(root: Path) -> None:
    assert problem() == f"Fashion-MNIST is not in {root} ({FIRST} is missing): {fashion_mnist.HOW_TO_GET_IT}."
    for missing in PACKED:
        put(root, PACKED)
        (root / missing).unlink()
        assert f"{missing} is missing" in problem()
        assert not fashion_mnist.are_present()


@pytest.mark.parametrize("damage", ["truncated", "emptied", "altered"])
@pytest.mark.parametrize("name", [FIRST, "t10k-labels-idx1-ubyte.gz"])
def test_damaged_file_is_named(root: Path, name: str, damage: str) -> None:
    put(root, PACKED)
    data = PACKED[name]
    damaged = {"truncated": data[:-1], "emptied": b"", "altered": data[:-1] + bytes([data[-1] ^ 1])}
    put(root, {name: damaged[damage]})
    assert f"{root / name} is not the official file" in problem()


def test_damaged_copy_does_not_hide_a_good_one(root: Path) -> None:
    put(root / "FashionMNIST" / "raw", {FIRST: b"damaged"})
    put(root, PACKED)
    assert fashion_mnist.find(fashion_mnist.ARCHIVES[0]) == root / FIRST


class Shelf(ThreadingHTTPServer):
    """Serves ``files`` on loopback, ranges too; the connection breaks after ``breaks_after`` bytes of a file."""

    def __init__(self) -> None:
        self.files = dict(PACKED)
        self.breaks_after: int | None = None
        self.knows_ranges = True
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Answer(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        name, wanted = self.path.lstrip("/"), self.headers["Range"]
        self.server.asked.append((name, wanted))
        if name not in self.server.files:
            self.send_error(404)
            return
        data = self.server.files[name]
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.server.knows_ranges else 0  # type: ignore[index]
        self.send_response(206 if wanted and self.server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:][: self.server.breaks_after])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ignore(_done: int, _total: int) -> None:
    pass


def test_download_brings_what_is_missing_and_nothing_else(root: Path, shelf: Shelf) -> None:
    told: list[tuple[int, int]] = []
    fashion_mnist.download(lambda done, total: told.append((done, total)), shelf.address)
    fashion_mnist.check()
    assert sorted(path.name for path in fashion_mnist.raw_folder().iterdir()) == sorted(PACKED)
    assert told == sorted(told)
    assert told[-1] == (fashion_mnist.TOTAL_BYTES, fashion_mnist.TOTAL_BYTES)
    (fashion_mnist.raw_folder() / FIRST).unlink()
    fashion_mnist.download(ignore, shelf.address)
    assert [name for name, _ in shelf.asked] == [*PACKED, FIRST]


def test_another_try_continues_where_the_connection_broke(root: Path, shelf: Shelf) -> None:
    shelf.breaks_after = 100_000
    with pytest.raises(DownloadError, match="try again"):
        fashion_mnist.download(ignore, shelf.address)
    assert not fashion_mnist.are_present()
    shelf.breaks_after = None
    fashion_mnist.download(ignore, shelf.address)
    assert shelf.asked[1] == (FIRST, "bytes=100000-")
    fashion_mnist.check()


def test_server_without_ranges_is_read_from_the_start(root: Path, shelf: Shelf) -> None:
    put(fashion_mnist.raw_folder(), {f"{fashion_mnist.PART_PREFIX}{FIRST}": PACKED[FIRST][:1000]})
    shelf.knows_ranges = False
    fashion_mnist.download(ignore, shelf.address)
    fashion_mnist.check()


def test_download_of_no_file_or_another_is_one_sentence_and_not_kept(root: Path, shelf: Shelf) -> None:
    shelf.files = {}
    with pytest.raises(DownloadError, match=f"{FIRST} could not be fetched"):
        fashion_mnist.download(ignore, shelf.address)
    shelf.files = {**PACKED, FIRST: bytes(len(PACKED[FIRST]))}
    with pytest.raises(DownloadError, match=f"What arrived as {FIRST} is not the official file"):
        fashion_mnist.download(ignore, shelf.address)
    assert list(fashion_mnist.raw_folder().iterdir()) == []
    shelf.files = PACKED
    fashion_mnist.download(ignore, shelf.address)
    fashion_mnist.check()


def test_download_without_a_network_is_one_sentence(root: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # held, and nobody listens
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with pytest.raises(DownloadError, match=r"could not be fetched .*refused.*: connect to the network") as caught:
            fashion_mnist.download(ignore, address)
    assert "\n" not in str(caught.value)
    assert list(fashion_mnist.raw_folder().iterdir()) == []


def test_download_onto_a_full_disk_says_so_and_continues_once_there_is_room(root: Path, shelf: Shelf) -> None:
    root.parent.mkdir(exist_ok=True)
    with small_disk(root, 8_000) as disk:
        put(disk, {"other": bytes(6_000_000)})
        with pytest.raises(DiskError, match="the disk is full"):
            fashion_mnist.download(ignore, shelf.address)
        assert not fashion_mnist.are_present()
        (disk / "other").unlink()
        fashion_mnist.download(ignore, shelf.address)
        fashion_mnist.check()


def test_download_into_a_folder_that_cannot_be_made_is_one_sentence(root: Path, shelf: Shelf) -> None:
    root.write_bytes(b"a file where the folder should be")
    with pytest.raises(DiskError, match="choose another folder"):
        fashion_mnist.download(ignore, shelf.address)


def test_official_files_are_whole(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    fashion_mnist.check()


def test_download_that_a_browser_has_begun_there_is_left_alone(root: Path, shelf: Shelf) -> None:
    theirs = fashion_mnist.raw_folder() / f"{FIRST}.part"
    put(fashion_mnist.raw_folder(), {theirs.name: b"another"})
    fashion_mnist.download(ignore, shelf.address)
    assert theirs.read_bytes() == b"another"
