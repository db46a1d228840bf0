"""What an image file holds beside its pixels, and how these are stored, decides nothing about the garment."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from fashion_core.data import synthetic
from fashion_core.errors import ImageError
from fashion_core.inference.prepare import prepare
from tests.support.images import chunk, cut_out, enlarged, on_white, png, stored
from tests.support.processes import python

SHIRT = synthetic.draw(np.arange(10), seed=7)[6]
PHOTO = Image.fromarray(255 - np.pad(enlarged(SHIRT, 6), 30)).convert("RGB")
HEADER = 33  # bytes of a PNG's signature and its first chunk
LONG = zlib.compress(bytes(30_000_000))


def with_chunk(name: bytes, content: bytes, checksum: bytes | None = None) -> Callable[[bytes], bytes]:
    made = chunk(name, content) if checksum is None else chunk(name, content)[:-4] + checksum
    return lambda data: data[:HEADER] + made + data[HEADER:]


def with_last_chunk(made: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:-12] + made + data[-12:]


def with_segment(marker: int, content: bytes) -> Callable[[bytes], bytes]:
    made = bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content
    return lambda data: data[:2] + made + data[2:]


EXIF_AT_NOWHERE = b"MM\0*\xff\xff\xff\xff"
ABSURD = Image.Exif()
ABSURD[0x0112] = 77
IN_PNG: dict[str, Callable[[bytes], bytes]] = {
    "EXIF of three bytes": with_chunk(b"eXIf", b"\1\2\3"),
    "no EXIF at all": with_chunk(b"eXIf", b""),
    "EXIF that points nowhere": with_chunk(b"eXIf", EXIF_AT_NOWHERE),
    "EXIF with a wrong checksum": with_chunk(b"eXIf", b"MM\0*\0\0\0\x08", bytes(4)),
    "EXIF behind the pixels": with_last_chunk(chunk(b"eXIf", b"II")),
    "an orientation of 77": with_chunk(b"eXIf", ABSURD.tobytes()[6:]),
    "a text with a wrong checksum": with_chunk(b"tEXt", b"a\0b", bytes(4)),
    "a text of an unknown packing": with_chunk(b"zTXt", b"a\0\x07b"),
    "a text that unpacks to 30 MB": with_chunk(b"zTXt", b"a\0\0" + LONG),
    "an international text that is cut off": with_chunk(b"iTXt", b"a\0\1"),
    "a last text longer than the file": with_last_chunk(struct.pack(">I", 2**31) + b"tEXta\0b"),
    "a profile of one byte": with_chunk(b"iCCP", b"x"),
    "a profile that unpacks to 30 MB": with_chunk(b"iCCP", b"a\0\0" + LONG),
    "colours of one byte": with_chunk(b"cHRM", b"x"),
}
IN_JPEG: dict[str, Callable[[bytes], bytes]] = {
    "EXIF of nothing": with_segment(0xE1, b"Exif\0\0"),
    "EXIF that points nowhere": with_segment(0xE1, b"Exif\0\0" + EXIF_AT_NOWHERE),
    "an orientation of 77": with_segment(0xE1, ABSURD.tobytes()),
    "XMP that is no text": with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe"),
    "a profile without its number": with_segment(0xE2, b"ICC_PROFILE\0"),
    "an index of pictures that is cut off": with_segment(0xE2, b"MPF\0II"),
    "a Photoshop block that is cut off": with_segment(0xED, b"Photoshop 3.0\0008BIM\3\xed"),
    "a JFIF segment that is cut off": with_segment(0xE0, b"JFIF"),
    "an Adobe segment that is cut off": with_segment(0xEE, b"Adobe"),
}


@pytest.mark.parametrize(("kind", "name"), [*(("PNG", name) for name in IN_PNG), *(("JPEG", name) for name in IN_JPEG)])
def test_damage_beside_the_pixels_changes_none_of_them(kind: str, name: str) -> None:
    good = stored(PHOTO, kind)
    bad = {"PNG": IN_PNG, "JPEG": IN_JPEG}[kind][name](good)
    np.testing.assert_array_equal(prepare(bad).pixels[0], prepare(good).pixels[0])


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("TIFF", {})])
def test_an_absurd_orientation_is_ignored_in_any_format(kind: str, options: Any) -> None:
    found = prepare(stored(PHOTO, kind, exif=ABSURD.tobytes(), **options))
    np.testing.assert_array_equal(found.pixels[0], prepare(stored(PHOTO)).pixels[0])
    assert "upright" not in found.steps[0].note


def test_a_webp_whose_exif_is_cut_off_is_read() -> None:
    data = stored(PHOTO, "WEBP", lossless=True, exif=ABSURD.tobytes())
    for missing in (1, 10, len(ABSURD.tobytes())):
        np.testing.assert_array_equal(prepare(data[:-missing]).pixels[0], prepare(stored(PHOTO)).pixels[0])


def test_what_pillow_warns_of_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(png(10_000, 9_500, zlib.compress(bytes(100))))
    code = "import sys, pathlib; from fashion_core.inference.prepare import prepare; prepare(pathlib.Path(sys.argv[1]))"
    done = python(code, arguments=(str(tmp_path / "large.png"),))
    assert "more than 20 million pixels" in done.stderr
    assert "Warning" not in done.stderr


def test_many_long_texts_are_not_unpacked() -> None:
    info = PngImagePlugin.PngInfo()
    for number in range(70):
        info.add_text(f"text {number}", "a" * 900_000, zip=True)
    np.testing.assert_array_equal(prepare(stored(SHIRT, pnginfo=info)).pixels[0], SHIRT)


GARMENT = cut_out(SHIRT)
KEYED = np.where(np.asarray(GARMENT)[..., 1] > 0, np.asarray(GARMENT)[..., 0].clip(1), 0)  # 0 stands for nothing


def packed(levels: NDArray[Any]) -> bytes:
    """(H, W) or (H, W, 3) levels of two bytes as a PNG's rows, none of which is filtered."""
    return zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels))


def grey_of_sixteen_bits(levels: NDArray[Any], nothing: int) -> bytes:
    key = chunk(b"tRNS", struct.pack(">H", nothing))
    height, width = levels.shape
    return png(width, height, packed(levels), 16, 0, key)


def colours_of_sixteen_bits() -> bytes:
    levels = np.repeat(KEYED[..., None].astype(np.uint16) * 257, 3, axis=2)
    height, width = KEYED.shape
    return png(width, height, packed(levels), 16, 2, chunk(b"tRNS", bytes(6)))


def as_palette(**options: Any) -> Callable[[], bytes]:
    return lambda: stored(Image.fromarray(KEYED).convert("P"), **options)


def animated(kind: str, **options: Any) -> Callable[[], bytes]:
    picture = GARMENT.convert("RGBA")
    return lambda: stored(picture, kind, save_all=True, append_images=[picture.rotate(90)], **options)


CUT_OUTS: dict[str, Callable[[], bytes]] = {
    "grey with alpha": lambda: stored(GARMENT),
    "colours with alpha": lambda: stored(GARMENT.convert("RGBA")),
    "a TIFF with alpha": lambda: stored(GARMENT.convert("RGBA"), "TIFF"),
    "a WebP with alpha": lambda: stored(GARMENT.convert("RGBA"), "WEBP", lossless=True, exact=True),
    "a palette with one transparent colour": as_palette(transparency=0),
    "a palette with an alpha for each colour": as_palette(transparency=bytes([0, *[255] * 255])),
    "a GIF": as_palette(kind="GIF", transparency=0),
    "a transparent level": lambda: stored(Image.fromarray(KEYED), transparency=0),
    "a transparent colour": lambda: stored(Image.fromarray(KEYED).convert("RGB"), transparency=(0, 0, 0)),
    "a transparent colour of 48 bits": colours_of_sixteen_bits,
    "a transparent level of 16 bits": lambda: grey_of_sixteen_bits(KEYED.astype(np.uint16) * 257, 0),
    "a transparent level above 12 bits": lambda: grey_of_sixteen_bits(
        np.where(KEYED == 0, 65_535, KEYED.astype(np.uint16) * 16), 65_535
    ),
    "an animated PNG": animated("PNG"),
    "an animated WebP": animated("WEBP", lossless=True),
}


@pytest.mark.parametrize("name", CUT_OUTS)
def test_a_cut_out_is_the_same_as_on_white(name: str) -> None:
    found = prepare(CUT_OUTS[name]())
    np.testing.assert_allclose(found.pixels[0], prepare(stored(on_white(GARMENT))).pixels[0], atol=1)
    assert [step.name for step in found.steps][:2] == ["original", "on white"]


def test_a_transparent_level_of_four_bits_is_the_one_that_the_file_means() -> None:
    levels = np.where(KEYED == 0, 7, np.where(KEYED >> 4 == 7, 6, KEYED >> 4))
    rows = b"".join(b"\0" + (row[0::2] << 4 | row[1::2]).astype(np.uint8).tobytes() for row in levels)
    height, width = levels.shape
    data = png(width, height, zlib.compress(rows), 4, 0, chunk(b"tRNS", b"\0\7"))
    found, expected = (prepare(each).pixels[0].astype(int) for each in (data, stored(on_white(GARMENT))))
    assert np.abs(found - expected).mean() < 5


def test_a_white_cut_out_is_seen_on_black() -> None:
    white = Image.merge("LA", (Image.new("L", GARMENT.size, 255), GARMENT.getchannel("A")))
    found = prepare(stored(white))
    assert "on black" in [step.name for step in found.steps]
    assert found.pixels[0].max() == 255


def test_twenty_eight_pixels_keep_the_black_of_the_dataset() -> None:
    bare = Image.merge("LA", (Image.fromarray(SHIRT), Image.fromarray(SHIRT).point(lambda level: 255 if level else 0)))
    found = prepare(stored(bare))
    np.testing.assert_array_equal(found.pixels[0], SHIRT)
    assert [step.name for step in found.steps] == ["original", "on black", "greyscale", "not inverted"]


DEPTHS: dict[str, NDArray[Any]] = {
    "8 bits in 16": SHIRT.astype(np.uint16),
    "10 bits in 16": SHIRT.astype(np.uint16) * 4,
    "12 bits in 16": SHIRT.astype(np.uint16) * 16,
    "14 bits in 16": SHIRT.astype(np.uint16) * 64,
    "temperatures around 30,000": SHIRT.astype(np.uint16) * 8 + 29_000,
    "12 bits in 32": SHIRT.astype(np.int32) * 16,
    "numbers below 0": SHIRT.astype(np.int32) * 8 - 1_024,
    "fractions from -1 to 1": (SHIRT / 127.5 - 1).astype(np.float32),
    "fractions a little above 1": (SHIRT / 254).astype(np.float32),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_numbers_are_scaled_by_the_range_that_they_use(name: str) -> None:
    brightest = SHIRT.astype(int).max()
    found = prepare(stored(DEPTHS[name], "TIFF")).pixels[0].astype(int)
    np.testing.assert_allclose(found * brightest / found.max(), SHIRT, atol=1.5)
    assert found.max() >= brightest - 1


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_colours_of_sixteen_bits_are_scaled_too(bits: int) -> None:
    levels = np.repeat(SHIRT[..., None].astype(np.uint16) * 257 >> (16 - bits), 3, axis=2)
    found = prepare(png(28, 28, packed(levels), 16, 2)).pixels[0].astype(int)
    np.testing.assert_allclose(found, SHIRT, atol=0 if bits == 16 else 2 ** (16 - bits))


def test_a_picture_of_sixteen_bits_without_contrast_shows_nothing() -> None:
    with pytest.raises(ImageError, match="No garment was found"):
        prepare(stored(np.full((60, 60), 30_000, np.uint16), "TIFF"))
