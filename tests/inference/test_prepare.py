"""Anyone's image made like the training set: exact where it can be, one clear sentence where it can't."""

import os
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fashion_core.data import synthetic
from fashion_core.errors import FashionError, ImageError
from fashion_core.inference.prepare import THINNEST, prepare
from tests.support.images import Pixels, enlarged, png, stored, transparent, with_alpha
from tests.support.processes import python

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
NO_IMAGES = (b"hello", b"<x/>", bytes(1000))
NAMED: dict[str, bytes] = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x1cftypavif",
    "film": b"\0\0\0\x18ftypisom",
    "JPEG XL": b"\xff\x0a",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "web page": b"\n<!DOCTYPE html><svg>",
    "SVG": b"<?xml version='1.0'?><!-- drawn --><svg xmlns='http://www.w3.org/2000/svg'/>",
    "PDF": b"%PDF-1.7",
    "Photoshop": b"8BPS\0\1",
    "zip": b"PK\3\4",
    "gzip": b"\x1f\x8b\x08",
    "NumPy": b"\x93NUMPY\1\0",
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\n",
}
TOO_LARGE = "more than 20 million pixels"
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a picture lies in a file whose EXIF orientation is this (EXIF 2.3, tag 0x0112)."""


GARMENTS = synthetic.draw(np.arange(10), seed=7)
SHIRT = GARMENTS[6]


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def notes(data: bytes) -> str:
    return "\n".join(f"{step.name}: {step.note}" for step in prepare(data).steps)


def sentence(source: bytes | Path) -> str:
    with pytest.raises(FashionError) as caught:
        prepare(source)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def grey_in(mode: str) -> Callable[[Pixels], Image.Image]:
    return lambda pixels: Image.fromarray(pixels).convert(mode)


EXACT: dict[str, Callable[[Pixels], NDArray[Any] | Image.Image]] = {
    "its own bytes": lambda pixels: pixels,
    "inverted": lambda pixels: 255 - pixels,
    "grey as colours": lambda pixels: np.dstack([pixels] * 3),
    **{f"grey in mode {mode}": grey_in(mode) for mode in ("L", "LA", "RGB", "RGBA", "P")},
    "opaque alpha": lambda pixels: with_alpha(pixels, np.full_like(pixels, 255)),
    "transparent, with black hidden": transparent,
    "transparent, with white hidden": lambda pixels: transparent(pixels, 255),
    **{f"squares of {n}": partial(enlarged, times=n, way=Image.Resampling.NEAREST) for n in (2, 3, 8)},
    "sixteen bits": lambda pixels: pixels.astype(np.uint16) * 257,
    "sixteen bits, the lower ones 0": lambda pixels: pixels.astype(np.uint16) * 256,
}


@pytest.mark.parametrize("change", EXACT)
def test_what_shows_all_pixels_keeps_each_of_them(change: str) -> None:
    for garment in GARMENTS:
        np.testing.assert_array_equal(prepare(stored(EXACT[change](garment))).pixels[0], garment)


@pytest.mark.parametrize("way", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_smooth_enlargements_are_taken_back_but_for_what_was_clipped(way: Image.Resampling) -> None:
    for garment in GARMENTS:
        found = prepare(stored(255 - enlarged(garment, 8, way))).pixels[0]
        assert np.abs(found.astype(int) - garment).mean() < 2


@pytest.mark.parametrize("margin", [1, 4, 20])
def test_a_margin_or_a_frame_is_cut_off_without_touching_the_picture(margin: int) -> None:
    for picture, level in ((SHIRT, 0), (255 - SHIRT, 255), (SHIRT, 255), (255 - SHIRT, 0)):
        prepared = prepare(stored(np.pad(picture, margin, constant_values=level)))
        np.testing.assert_array_equal(prepared.pixels[0], SHIRT)
        is_frame = level != picture[0, 0]
        assert is_frame == ("out of its frame" in [step.name for step in prepared.steps])


def test_a_black_garment_on_nothing_is_seen_on_white() -> None:
    prepared = prepare(stored(with_alpha(np.zeros_like(SHIRT), SHIRT)))
    np.testing.assert_array_equal(prepared.pixels[0], SHIRT)
    assert "on white" in [step.name for step in prepared.steps]


def test_a_large_garment_is_cropped_keeps_its_shape_and_stands_in_the_middle() -> None:
    photo = np.full((400, 300), 240, np.uint8)
    photo[100:300, 80:120] = 40
    photo[180:220, 50:150] = 90
    pixels = prepare(stored(photo)).pixels[0]
    rows, columns = (np.flatnonzero((pixels > 20).any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (0, 27)
    assert (columns[0], columns[-1]) == (7, 20)
    assert pixels[3, 14] > pixels[14, 8] > 100


def test_a_rectangular_bag_is_a_garment_and_no_frame() -> None:
    photo = np.full((200, 200), 245, np.uint8)
    photo[60:140, 40:160] = np.linspace(20, 110, 80)[:, None]
    steps = [step.name for step in prepare(stored(photo)).steps]
    assert steps == ["original", "inverted", "black border", "cropped", "28 × 28"]


def test_uneven_light_and_noise_leave_a_black_border() -> None:
    random_numbers = np.random.default_rng(0)
    photo = np.linspace(180, 240, 300)[:, None] + random_numbers.normal(0, 5, (300, 300))
    photo[80:220, 100:200] = 60
    pixels = prepare(stored(photo.clip(0, 255).astype(np.uint8), "JPEG", quality=60)).pixels[0]
    assert not pixels[:, :4].any()
    assert not pixels[:, -4:].any()
    assert pixels[4:-4, 10:-10].min() > 150


def test_a_single_speck_does_not_spoil_the_crop() -> None:
    photo = np.pad(enlarged(SHIRT, 10), 100)
    clean = prepare(stored(photo)).pixels[0]
    photo[5, 5] = 255
    np.testing.assert_array_equal(prepare(stored(photo)).pixels[0], clean)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_every_orientation_gives_the_same_pixels(orientation: int, kind: str, options: Any) -> None:
    image = Image.fromarray(np.pad(SHIRT, 4)).convert("RGB").transpose(STORED[orientation])
    data = stored(image, kind, exif=oriented(orientation), **options)
    np.testing.assert_array_equal(prepare(data).pixels[0], SHIRT)
    assert "upright" in notes(data)


def test_photos_that_lie_on_their_side_are_turned_and_inks_are_read_the_right_way_round() -> None:
    photo = Image.fromarray(np.pad(enlarged(SHIRT, 8), ((40, 80), (20, 30))))
    straight = prepare(stored(photo, "JPEG", quality=95)).pixels[0]
    lying = stored(photo.transpose(STORED[6]), "JPEG", quality=95, exif=oriented(6))
    inks = stored(photo.convert("RGB").convert("CMYK"), "JPEG", quality=95)
    for data in (lying, inks):
        assert np.abs(prepare(data).pixels[0].astype(int) - straight).mean() < 3


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_pictures_the_first_is_taken_and_the_note_says_so(kind: str) -> None:
    first, second = (Image.fromarray(pixels).convert("RGB") for pixels in (SHIRT, np.fliplr(255 - SHIRT)))
    others = [second] * (500 if kind == "GIF" else 1)
    data = stored(first, kind, save_all=True, append_images=others, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(prepare(data).pixels[0], SHIRT)
    assert "the first of several" in notes(data)


def test_a_transparent_colour_of_a_palette_is_black() -> None:
    image = Image.fromarray(SHIRT).convert("P")
    image.putpalette([level for level in (255, *range(1, 256)) for _ in range(3)])
    np.testing.assert_array_equal(prepare(stored(image, transparency=0)).pixels[0], SHIRT)


def test_sixteen_bits_a_colour_are_scaled() -> None:
    rows = np.repeat(SHIRT, 3, axis=1).astype(">u2") * 257
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    np.testing.assert_array_equal(prepare(png(28, 28, packed, bits=16, colour=2)).pixels[0], SHIRT)


def test_black_and_white_of_one_bit_are_read() -> None:
    drawing = np.where(SHIRT > 60, 255, 0).astype(np.uint8)
    for kind in ("PNG", "BMP", "TIFF"):
        image = Image.fromarray(drawing).convert("1")
        np.testing.assert_array_equal(prepare(stored(image, kind)).pixels[0], drawing)


@pytest.mark.parametrize("white", [1, 255, 65_535])
def test_float_pixels_are_scaled_by_the_white_that_holds_them(white: int) -> None:
    shirt = SHIRT.copy()
    shirt[14, 14] = 255
    values = (shirt / 255 * white).astype(np.float32)
    np.testing.assert_array_equal(prepare(stored(values, "TIFF")).pixels[0], shirt)


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_read(kind: str) -> None:
    prepared = prepare(stored(enlarged(SHIRT, 8), kind))
    assert prepared.steps[0].note.startswith(f"{kind} of 224 × 224 pixels")
    assert np.abs(prepared.pixels[0].astype(int) - SHIRT).mean() < 3


def test_every_step_is_small_enough_to_be_shown_and_the_last_is_what_the_model_gets() -> None:
    photo = 255 - np.pad(enlarged(SHIRT, 30), 90)
    prepared = prepare(stored(np.dstack([photo, photo, photo // 2]), "JPEG"))
    assert [step.name for step in prepared.steps] == [
        "original", "greyscale", "inverted", "black border", "cropped", "28 × 28"
    ]  # fmt: skip
    for step in prepared.steps:
        assert step.pixels.dtype == np.uint8
        assert max(step.pixels.shape[:2]) <= 256
        assert step.pixels.ndim == 2 or step.pixels.shape[2] == 3
    np.testing.assert_array_equal(prepared.steps[-1].pixels, prepared.pixels[0])


def tiff(fields: list[tuple[int, int, int]]) -> bytes:
    """A TIFF with these fields (tag, count, value), all of them LONG (TIFF 6.0, section 2)."""
    entries = b"".join(struct.pack("<HHLL", tag, 4, count, value) for tag, count, value in fields)
    return b"II*\0" + struct.pack("<LH", 8, len(fields)) + entries + bytes(4)


def tile_larger_than_its_image() -> bytes:
    fields = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1), (322, 13_000), (323, 13_000)]
    return tiff([(tag, 1, value) for tag, value in fields] + [(324, 1, 8)])


def millions_of_strips() -> bytes:
    fields = [(256, 1, 10), (257, 1, 10), (258, 1, 8), (259, 1, 1), (262, 1, 1), (273, 5_000_000, 8)]
    return tiff(fields) + bytes(20_000_000)


def thousands_of_scans() -> bytes:
    data = stored(np.kron(SHIRT, np.ones((40, 40), np.uint8)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * 2_000 + b"\xff\xd9"


def cut_off(kind: str) -> bytes:
    data = stored(enlarged(SHIRT, 8), kind)
    return data[: len(data) // 2]


COLOURED = grey_in("RGB")(SHIRT)
NO_GARMENT = "No garment was found"
REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    **{f"{data[:8]!r}": ("PNG, JPEG, WebP, GIF, BMP or TIFF", partial(bytes, data)) for data in NO_IMAGES},
    **{f"a {kind} file": ("choose a PNG", partial(stored, COLOURED, kind)) for kind in ("PPM", "TGA", "ICO", "EPS")},
    **{f"the start of {name}": (name, partial(bytes, data)) for name, data in NAMED.items()},
    "nothing": ("empty", bytes),
    "NaN": ("not numbers", lambda: stored(np.where(np.eye(28), np.nan, 9).astype("f4"), "TIFF")),
    **{f"{kind} that is cut off": ("damaged", partial(cut_off, kind)) for kind in KINDS},
    "one value": (NO_GARMENT, lambda: stored(np.full((1, 1), 128, np.uint8))),
    "black": (NO_GARMENT, lambda: stored(np.zeros((28, 28), np.uint8))),
    "grey": (NO_GARMENT, lambda: stored(np.full((224, 224), 128, np.uint8))),
    "white": (NO_GARMENT, lambda: stored(np.full((300, 200), 255, np.uint8))),
    "noise": (NO_GARMENT, lambda: stored(np.random.default_rng(0).integers(100, 110, (300, 300), np.uint8))),
    "a row too many": (TOO_LARGE, lambda: png(4001, 5000, zlib.compress(bytes(100)))),
    "a pixel too many": (TOO_LARGE, lambda: png(20_000_001, 1, zlib.compress(bytes(100)))),
    "a tile larger than its image": (TOO_LARGE, tile_larger_than_its_image),
    "a TIFF of millions of strips": ("too many parts", millions_of_strips),
    "a JPEG of thousands of scans": ("too many parts", thousands_of_scans),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_of_a_garment_is_one_sentence(name: str) -> None:
    words, make = REFUSED[name]
    assert words in sentence(make())


def test_a_file_is_read_like_its_bytes_and_what_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "shirt.png").write_bytes(stored(SHIRT))
    np.testing.assert_array_equal(prepare(tmp_path / "shirt.png").pixels[0], SHIRT)
    os.mkfifo(tmp_path / "pipe.png")
    assert "it is a folder; name a file in it" in sentence(tmp_path)
    assert "a device or a pipe" in sentence(tmp_path / "pipe.png")
    for path in (tmp_path / "missing.png", tmp_path / "shirt.png" / "inner.png", Path("a\0.png")):
        assert "There is no such file" in sentence(path)


def test_a_decompression_bomb_is_refused_by_its_header_within_bounded_memory() -> None:
    bomb = png(20_000, 20_000, zlib.compress(bytes(20_001) * 2_000))
    assert TOO_LARGE in sentence(bomb)
    assert memory_taken_by(bomb) < 50


@pytest.mark.parametrize(
    ("border", "garment"), [(200, 250), (140, 225), (100, 40), (60, 15), (30, 200), (235, 60), (128, 90), (127, 160)]
)
def test_a_garment_is_seen_on_either_side_of_the_borders_brightness(border: int, garment: int) -> None:
    """White on a light wall, navy on dark wood: the garment comes out bright on black."""
    mask = np.kron(np.pad(SHIRT > 40, 20), np.ones((6, 6), bool))
    pixels = prepare(stored(np.where(mask, garment, border).astype(np.uint8), "PNG")).pixels[0]
    expected = prepare(stored(np.where(mask, 255, 0).astype(np.uint8), "PNG")).pixels[0]
    assert (pixels > 0).sum() == pytest.approx((expected > 0).sum(), rel=0.02)
    assert pixels.max() > 40


def test_a_print_on_a_white_garment_does_not_decide() -> None:
    mask = np.kron(np.pad(SHIRT > 40, 20), np.ones((6, 6), bool))
    picture = np.where(mask, 250, 205).astype(np.uint8)
    picture[190:214, 190:214] = 30
    pixels = prepare(stored(picture, "PNG")).pixels[0]
    assert (pixels > 100).sum() > 200


@pytest.mark.parametrize(("height", "width"), [(1, 5000), (5000, 1), (4, 2000)])
def test_a_thin_strip_has_steps_that_can_be_drawn(height: int, width: int) -> None:
    strip = np.full((height, width), 255, np.uint8)
    strip[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None] = 20
    prepared = prepare(stored(strip))
    assert prepared.pixels[0].shape == (28, 28)
    for step in prepared.steps:
        assert max(step.pixels.shape[:2]) <= THINNEST * min(step.pixels.shape[:2]) + THINNEST


def test_a_film_after_a_jpeg_counts_for_nothing() -> None:
    """A phone's moving photo: a JPEG and, after its end, whatever bytes."""
    data = stored(np.kron(SHIRT, np.ones((40, 40), np.uint8)), "JPEG", progressive=True)
    np.testing.assert_array_equal(prepare(data + b"\xff\xda\x00\x02" * 5_000).pixels[0], prepare(data).pixels[0])


def test_a_camera_photo_of_fifty_megapixels_is_read_within_bounded_memory() -> None:
    photo = Image.new("L", (8192, 6144), 235)
    photo.paste(Image.fromarray(255 - SHIRT).resize((4000, 4000), Image.Resampling.BICUBIC), (2000, 1000))
    data = stored(photo.convert("RGB"), "JPEG", quality=80)
    assert prepare(data).pixels[0].max() > 100
    assert memory_taken_by(data) < 150


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_the_largest_images_take_a_few_hundred_megabytes(kind: str) -> None:
    quickly: dict[str, dict[str, Any]] = {
        "PNG": {"compress_level": 1}, "WEBP": {"method": 0}, "TIFF": {"compression": "tiff_deflate"}
    }  # fmt: skip
    image = Image.new("RGBA", (5000, 4000), (250, 250, 250, 255))
    image.paste((10, 20, 30, 200), (1000, 1000, 3000, 3500))
    image.paste((90, 20, 30, 255), (1500, 1500, 2500, 3000))
    assert memory_taken_by(stored(image, kind, **quickly[kind])) < 450


def memory_taken_by(data: bytes) -> float:
    """How many megabytes the peak of a fresh process grows by while it prepares this.

    ``ru_maxrss`` would begin at the size of the process that started it.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process is read from /proc, which this system has not")
    code = (
        "import re\nfrom pathlib import Path\nfrom fashion_core import errors\n"
        "from fashion_core.inference import prepare\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) / 2**10\n"
        "before = peak()\n"
        "try: prepare.prepare(Path({path!r}))\n"
        "except errors.ImageError: pass\n"
        "print(peak() - before)"
    )
    with tempfile.NamedTemporaryFile(suffix=".image") as file:
        file.write(data)
        file.flush()
        done = python(code.format(path=file.name))
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def samples() -> list[tuple[str, bytes]]:
    pixels = np.pad(SHIRT, 4)
    grey = Image.fromarray(pixels)
    colour = Image.merge("RGB", (grey, grey.rotate(3), grey))
    alpha = Image.fromarray(with_alpha(pixels, pixels))
    exif = oriented(6)

    def more() -> dict[str, Any]:  # Pillow leaves settings of one format in an image that it appends
        return {"save_all": True, "append_images": [colour.rotate(9)]}

    return [
        ("PNG with alpha", stored(alpha, exif=exif)),
        ("PNG palette", stored(colour.quantize(16))),
        ("PNG 16 bits", stored(pixels.astype(np.uint16) * 257)),
        ("PNG animated", stored(colour, **more())),
        ("JPEG", stored(colour, "JPEG", exif=exif)),
        ("JPEG progressive", stored(colour, "JPEG", progressive=True)),
        ("JPEG CMYK", stored(colour.convert("CMYK"), "JPEG")),
        ("JPEG of two pictures", stored(colour, "MPO", **more())),
        ("WebP", stored(colour, "WEBP", exif=exif)),
        ("WebP animated", stored(colour, "WEBP", lossless=True, **more())),
        ("GIF", stored(colour, "GIF")),
        ("GIF animated", stored(colour, "GIF", **more())),
        ("BMP", stored(colour, "BMP")),
        ("TIFF", stored(colour, "TIFF", **more())),
        ("TIFF LZW", stored(alpha, "TIFF", compression="tiff_lzw")),
        ("TIFF JPEG", stored(colour, "TIFF", compression="jpeg")),
        ("TIFF fax", stored(grey.convert("1"), "TIFF", compression="group4")),
        ("TIFF float", stored(grey.convert("F"), "TIFF")),
    ]


def broken(data: bytes, numbers: random.Random) -> bytes:
    """Cut off somewhere, or with some bytes changed, those of the header more often."""
    if numbers.random() < 0.25:
        return data[: numbers.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(numbers.choice((1, 1, 2, 5, 20))):
        place = numbers.randrange(min(len(data), numbers.choice((64, 400, len(data)))))
        changed[place] = numbers.choice((numbers.randrange(256), 0, 255, changed[place] ^ 1 << numbers.randrange(8)))
    return bytes(changed)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("times", [60, pytest.param(1_000, marks=pytest.mark.slow)])
def test_broken_files_of_all_kinds_end_in_a_picture_or_one_sentence(times: int) -> None:
    for name, data in samples():
        numbers, refused = random.Random(name), []
        prepare(data)
        for _ in range(times):
            try:
                assert prepare(broken(data, numbers)).pixels[0].shape == (28, 28)
            except ImageError as error:
                refused.append(str(error))
        assert refused
        assert not any("\n" in text for text in refused)
