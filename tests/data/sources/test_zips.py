"""Zips of class folders: read in place, within limits, whatever their directory claims."""

import io
import re
import struct
import zipfile
from pathlib import Path

import pytest

from fashion_core.data.sources import zip_file
from fashion_core.errors import DataError
from tests.support.sources import add, both_sides, class_folders, png

pytestmark = pytest.mark.usefixtures("data_root")

MEMBERS = {f"pets/{half}/{name}/{number}.png": png(number + 10 * ord(name[0]) + len(half))
           for half in ("train", "test") for name in ("cat", "dog") for number in range(3)}  # fmt: skip


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_zip_gives_what_its_folder_gives(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "pets")
    unpacked = add(root)
    (tmp_path / "data" / "mine").rename(tmp_path / "before")
    members = {str(path.relative_to(tmp_path)): path.read_bytes() for path in sorted(root.rglob("*.png"))}
    assert add(zipped(tmp_path / "pets.zip", members)).description.sha256 == unpacked.description.sha256


def test_nothing_is_unpacked_anywhere(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", {**MEMBERS, "../evil.png": png(1), "/tmp/evil.png": png(2)})
    kept = add(path)
    assert kept.counts() == {"cat": (3, 3), "dog": (3, 3)}
    assert kept.found["left out"] == "2 links that may lead out of it are not followed."
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "pets.zip"]


def test_zip_of_nothing_but_names_that_lead_out_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", {f"../{name}": data for name, data in MEMBERS.items()})
    said = "The files in pets.zip have names that lead out of it, such as ../pets/train/cat/0.png: zip the folder anew."
    with pytest.raises(DataError, match=f"^{re.escape(said)}$"):
        add(path)


def test_link_in_a_zip_is_not_followed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("pets/train/cat/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert add(path).found["left out"] == "1 link that may lead out of it is not followed."


def test_what_a_mac_adds_is_no_class(tmp_path: Path) -> None:
    kept = add(zipped(tmp_path / "pets.zip", {**MEMBERS, "__MACOSX/pets/train/cat/._0.png": b"x"}))
    assert kept.description.classes == ("cat", "dog")
    assert "unreadable" not in kept.found


def test_names_in_unmarked_utf8_and_with_backslashes_are_understood(tmp_path: Path) -> None:
    members = {f"{name}\\{number}.png": png(number + 99 * ord(name)) for name in "ab" for number in range(30)}
    path = zipped(tmp_path / "pets.zip", members)
    assert add(path).description.classes == ("a", "b")
    entry = zipfile.ZipInfo("müsli".encode().decode("cp437") + "/a.png")
    assert zip_file.name_of(entry) == "müsli/a.png"


def test_damaged_member_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", MEMBERS, zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.write_bytes(data.replace(MEMBERS["pets/test/dog/0.png"][-30:-20], b"0123456789"))
    kept = add(path)
    assert kept.counts() == {"cat": (3, 3), "dog": (3, 2)}
    (unreadable,) = [finding for finding in kept.report.findings if finding.kind == "unreadable"]
    assert unreadable.names == ("pets/test/dog/0.png",)
    assert "Bad CRC-32" in unreadable.text


def test_member_that_is_packed_in_a_rare_way_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("pets/train/cat/rare.png", png(5), zipfile.ZIP_BZIP2)
    assert "it is packed in a rare way" in add(path).found["unreadable"]


def test_encrypted_members_are_refused_by_what_they_are(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    data = bytearray(path.read_bytes())
    place = 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        data[place + 8] |= 1
        place += 4
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"^12 of 12 images can't be read, more than half; .*it is encrypted"):
        add(path)


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_file, "_FREE_BYTES", 1 << 20)
    members = {f"{name}/{number}.bmp": bytes(6 << 20) for name in "ab" for number in range(9)}
    path = zipped(tmp_path / "bomb.zip", members)
    with pytest.raises(DataError, match=r"^bomb.zip would unpack to 0.1 GiB, more than 200 times its size"):
        add(path)


def test_member_without_a_name_is_no_image(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", {**MEMBERS, "NO NAME HERE": b"x"})
    path.write_bytes(path.read_bytes().replace(b"NO NAME HERE", b"\0" * 12))
    assert add(path).counts() == {"cat": (3, 3), "dog": (3, 3)}


def test_member_that_lies_about_its_size_is_unreadable(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", {**MEMBERS, "pets/train/cat/liar.png": bytes(1 << 20)})
    data = path.read_bytes()
    size = struct.pack("<L", 1 << 20)
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, struct.pack("<L", 1 << 10)))
    assert "It can't be unpacked (Bad CRC-32" in add(path).found["unreadable"]


def test_members_that_share_their_bytes_are_unreadable(tmp_path: Path) -> None:
    """As in a bomb of which every entry of the directory names the same kernel."""
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(30):
            copy = zipfile.ZipInfo(f"pets/train/cat/copy{number}.png")
            first = archive.infolist()[0]
            for name in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "flag_bits"):
                setattr(copy, name, getattr(first, name))
            archive.filelist.append(copy)
            vars(archive)["_didModify"] = True
    with pytest.raises(DataError, match=r"^3\d of 42 images can't be read"):
        add(path)


def test_directory_of_too_many_members_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    monkeypatch.setattr(zip_file, "MOST_MEMBERS", 11)
    with pytest.raises(DataError, match=r"^pets.zip holds more than 11 files: unpack it and give the folder.$"):
        add(path)


def test_zip64_directory_is_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    assert b"PK\x06\x07" in path.read_bytes()
    assert add(path).counts() == {"cat": (3, 3), "dog": (3, 3)}
    (tmp_path / "data" / "mine").rename(tmp_path / "before")
    monkeypatch.setattr(zip_file, "MOST_MEMBERS", 11)
    with pytest.raises(DataError, match="holds more than 11 files"):
        add(path)


def test_second_zip64_record_hides_no_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    data = b"PK\x06\x06" + bytes(52) + path.read_bytes()
    place = data.rindex(b"PK\x06\x07") + 8
    path.write_bytes(data[:place] + bytes(8) + data[place + 8 :])
    with pytest.raises(DataError, match=r"^pets.zip is damaged or no zip file"):
        add(path)


def test_end_within_the_end_hides_no_members(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    data = path.read_bytes()
    path.write_bytes(data[:-18] + b"PK\x05\x06" + data[-14:])
    assert len(zipfile.ZipFile(path).namelist()) == 12
    with pytest.raises(DataError, match=r"^pets.zip is damaged or no zip file"):
        add(path)


def test_zip_behind_a_program_or_with_a_comment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (3, 100):
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", limit)
        path = zipped(tmp_path / "pets.zip", MEMBERS)
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = b"Our pets"
        path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
        assert add(path).counts() == {"cat": (3, 3), "dog": (3, 3)}
        (tmp_path / "data" / "mine").rename(tmp_path / f"before {limit}")


@pytest.mark.parametrize("cut", [0, 10, 500, -1])
def test_zip_that_is_cut_off_is_one_sentence(tmp_path: Path, cut: int) -> None:
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"^pets.zip is damaged or no zip file: make or fetch it again\.$"):
        add(path)


def test_zip_without_files_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There are no images in it"):
        add(zipped(tmp_path / "pets.zip", {}))


def test_empty_folder_in_a_zip_is_told(tmp_path: Path) -> None:
    path = zipped(tmp_path / "pets.zip", MEMBERS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.mkdir("pets/train/eel")
    assert add(path).found["empty class"] == "1 folder is empty and is no class."


def test_zip_in_a_zip_is_no_image(tmp_path: Path) -> None:
    inner = io.BytesIO()
    zipfile.ZipFile(inner, "w").close()
    path = zipped(tmp_path / "pets.zip", {**MEMBERS, "pets/train/cat/a.zip": inner.getvalue()})
    assert add(path).counts()["cat"] == (3, 3)


def test_class_folders_need_not_be_listed_in_the_zip(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "pets", {"cat": 30, "dog": 30})
    members = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.png")}
    assert add(zipped(tmp_path / "pets.zip", members)).description.classes == ("cat", "dog")
