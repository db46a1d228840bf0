"""Anyone's image made like the training set: exact where it can be, one clear sentence where it can't."""

import io
import random
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from fashion_core.data import synthetic
from fashion_core.errors import FashionError, ImageError
from fashion_core.inference.prepare import THINNEST, prepare
from tests.support.processes import python

Pixels = NDArray[np.uint8]

CLASSES = np.arange(10)
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


@pytest.fixture(scope="module", params=CLASSES, ids=lambda number: f"class {number}")
def garment(request: pytest.FixtureRequest) -> Pixels:
    """(28, 28), one of each class."""
    return one_of(request.param)


@pytest.fixture(scope="module")
def shirt() -> Pixels:
    return one_of(6)


def one_of(number: int) -> Pixels:
    """A synthetic garment of this class."""
    return np.array(synthetic.draw(CLASSES, seed=7)[number])


def stored(pixels: NDArray[Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def enlarged(pixels: Pixels, times: int, way: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize([side * times for side in pixels.shape[::-1]], way))


def with_alpha(pixels: Pixels, alpha: Pixels, hidden: int = 0) -> Pixels:
    """(H, W, 4); where nothing of it is seen, the colour is ``hidden``."""
    seen = np.where(alpha > 0, pixels, hidden).astype(np.uint8)
    return np.dstack([seen, seen, seen, alpha])


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


def test_a_picture_of_the_training_set_keeps_its_own_bytes(garment: Pixels) -> None:
    np.testing.assert_array_equal(prepare(stored(garment)).pixels, garment)


def test_an_inverted_picture_is_inverted_back(garment: Pixels) -> None:
    np.testing.assert_array_equal(prepare(stored(255 - garment)).pixels, garment)


def test_grey_stored_as_colours_keeps_its_bytes(garment: Pixels) -> None:
    np.testing.assert_array_equal(prepare(stored(np.dstack([garment] * 3))).pixels, garment)


@pytest.mark.parametrize("times", [2, 3, 8])
def test_pixels_enlarged_to_squares_are_taken_back(garment: Pixels, times: int) -> None:
    picture = enlarged(garment, times, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(prepare(stored(picture)).pixels, garment)


@pytest.mark.parametrize("way", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_smooth_enlargements_are_taken_back_but_for_what_was_clipped(garment: Pixels, way: Image.Resampling) -> None:
    found = prepare(stored(255 - enlarged(garment, 8, way))).pixels
    assert np.abs(found.astype(int) - garment).mean() < 2


@pytest.mark.parametrize("margin", [1, 4, 20])
def test_a_margin_is_cut_off_without_touching_the_picture(shirt: Pixels, margin: int) -> None:
    np.testing.assert_array_equal(prepare(stored(np.pad(shirt, margin))).pixels, shirt)
    bright = np.pad(255 - shirt, margin, constant_values=255)
    np.testing.assert_array_equal(prepare(stored(bright)).pixels, shirt)


@pytest.mark.parametrize("margin", [1, 4, 20])
def test_a_frame_of_the_other_brightness_is_cut_off(shirt: Pixels, margin: int) -> None:
    for framed in (np.pad(shirt, margin, constant_values=255), np.pad(255 - shirt, margin)):
        prepared = prepare(stored(framed))
        np.testing.assert_array_equal(prepared.pixels, shirt)
        assert "out of its frame" in [step.name for step in prepared.steps]


def test_what_is_transparent_is_black_whatever_colour_it_hides(garment: Pixels) -> None:
    alpha = np.where(garment > 0, 255, 0).astype(np.uint8)
    for picture in (with_alpha(garment, alpha), with_alpha(garment, alpha, 255)):
        np.testing.assert_array_equal(prepare(stored(picture)).pixels, garment)


def test_an_opaque_alpha_changes_nothing(garment: Pixels) -> None:
    picture = with_alpha(garment, np.full_like(garment, 255))
    np.testing.assert_array_equal(prepare(stored(picture)).pixels, garment)


def test_a_black_garment_on_nothing_is_seen_on_white(shirt: Pixels) -> None:
    icon = with_alpha(np.zeros_like(shirt), shirt)
    prepared = prepare(stored(icon))
    np.testing.assert_array_equal(prepared.pixels, shirt)
    assert "on white" in [step.name for step in prepared.steps]


def test_a_large_garment_is_cropped_keeps_its_shape_and_stands_in_the_middle() -> None:
    photo = np.full((400, 300), 240, np.uint8)
    photo[100:300, 80:120] = 40
    photo[180:220, 50:150] = 90
    pixels = prepare(stored(photo)).pixels
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
    pixels = prepare(stored(photo.clip(0, 255).astype(np.uint8), "JPEG", quality=60)).pixels
    assert not pixels[:, :4].any()
    assert not pixels[:, -4:].any()
    assert pixels[4:-4, 10:-10].min() > 150


def test_a_single_speck_does_not_spoil_the_crop(shirt: Pixels) -> None:
    photo = np.pad(enlarged(shirt, 10, Image.Resampling.BICUBIC), 100)
    clean = prepare(stored(photo)).pixels
    photo[5, 5] = 255
    np.testing.assert_array_equal(prepare(stored(photo)).pixels, clean)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_every_orientation_gives_the_same_pixels(shirt: Pixels, orientation: int, kind: str, options: Any) -> None:
    image = Image.fromarray(np.pad(shirt, 4)).convert("RGB").transpose(STORED[orientation])
    data = stored(image, kind, exif=oriented(orientation), **options)
    np.testing.assert_array_equal(prepare(data).pixels, shirt)
    assert "upright" in notes(data)


def test_a_photo_that_lies_on_its_side_is_turned(shirt: Pixels) -> None:
    photo = np.pad(enlarged(shirt, 8, Image.Resampling.BICUBIC), ((40, 80), (20, 30)))
    lying = Image.fromarray(photo).transpose(STORED[6])
    turned = prepare(stored(lying, "JPEG", quality=95, exif=oriented(6))).pixels
    straight = prepare(stored(photo, "JPEG", quality=95)).pixels
    assert np.abs(turned.astype(int) - straight).mean() < 3


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_pictures_the_first_is_taken_and_the_note_says_so(shirt: Pixels, kind: str) -> None:
    first, second = (Image.fromarray(pixels).convert("RGB") for pixels in (shirt, np.fliplr(255 - shirt)))
    data = stored(first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(prepare(data).pixels, shirt)
    assert "the first of several" in notes(data)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_every_way_to_store_grey_in_png_gives_the_same_bytes(shirt: Pixels, mode: str) -> None:
    image = Image.fromarray(shirt)
    np.testing.assert_array_equal(prepare(stored(image.convert(mode))).pixels, shirt)


def test_a_transparent_colour_of_a_palette_is_black(shirt: Pixels) -> None:
    image = Image.fromarray(shirt).convert("P")
    image.putpalette([level for level in (255, *range(1, 256)) for _ in range(3)])
    np.testing.assert_array_equal(prepare(stored(image, transparency=0)).pixels, shirt)


@pytest.mark.parametrize("factor", [257, 256])
def test_sixteen_bits_are_scaled_and_not_clipped(shirt: Pixels, factor: int) -> None:
    np.testing.assert_array_equal(prepare(stored(shirt.astype(np.uint16) * factor)).pixels, shirt)


def test_sixteen_bits_a_colour_are_scaled(shirt: Pixels) -> None:
    rows = np.repeat(shirt, 3, axis=1).astype(">u2") * 257
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    data = png(28, 28, packed, bits=16, colour=2)
    np.testing.assert_array_equal(prepare(data).pixels, shirt)


def test_black_and_white_of_one_bit_are_read(shirt: Pixels) -> None:
    drawing = np.where(shirt > 60, 255, 0).astype(np.uint8)
    for kind in ("PNG", "BMP", "TIFF"):
        image = Image.fromarray(drawing).convert("1")
        np.testing.assert_array_equal(prepare(stored(image, kind)).pixels, drawing)


@pytest.mark.parametrize("white", [1, 255, 65_535])
def test_float_pixels_are_scaled_by_the_white_that_holds_them(shirt: Pixels, white: int) -> None:
    shirt = shirt.copy()
    shirt[14, 14] = 255
    values = (shirt / 255 * white).astype(np.float32)
    np.testing.assert_array_equal(prepare(stored(values, "TIFF")).pixels, shirt)


def test_float_pixels_that_are_no_numbers_are_refused(shirt: Pixels) -> None:
    values = shirt.astype(np.float32)
    values[3, 3] = np.nan
    assert "not numbers" in sentence(stored(values, "TIFF"))


def test_cmyk_jpegs_are_read_the_right_way_round(shirt: Pixels) -> None:
    photo = Image.fromarray(np.pad(enlarged(shirt, 8, Image.Resampling.BICUBIC), 40))
    plain = prepare(stored(photo, "JPEG", quality=95)).pixels
    inks = prepare(stored(photo.convert("RGB").convert("CMYK"), "JPEG", quality=95)).pixels
    assert np.abs(inks.astype(int) - plain).mean() < 3


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP", "TIFF", "PNG"])
def test_every_format_is_read(shirt: Pixels, kind: str) -> None:
    prepared = prepare(stored(enlarged(shirt, 8, Image.Resampling.BICUBIC), kind))
    assert prepared.steps[0].note.startswith(f"{kind} of 224 × 224 pixels")
    assert np.abs(prepared.pixels.astype(int) - shirt).mean() < 3


def test_a_file_is_read_like_its_bytes(shirt: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "shirt.png"
    path.write_bytes(stored(shirt))
    np.testing.assert_array_equal(prepare(path).pixels, shirt)


def test_every_step_is_small_enough_to_be_shown_and_the_last_is_what_the_model_gets(shirt: Pixels) -> None:
    photo = 255 - np.pad(enlarged(shirt, 30, Image.Resampling.BICUBIC), 90)
    prepared = prepare(stored(np.dstack([photo, photo, photo // 2]), "JPEG"))
    assert [step.name for step in prepared.steps] == [
        "original", "greyscale", "inverted", "black border", "cropped", "28 × 28"
    ]  # fmt: skip
    for step in prepared.steps:
        assert step.pixels.dtype == np.uint8
        assert max(step.pixels.shape[:2]) <= 256
        assert step.pixels.ndim == 2 or step.pixels.shape[2] == 3
    np.testing.assert_array_equal(prepared.steps[-1].pixels, prepared.pixels)


def png(width: int, height: int, packed: bytes, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG of any claims (PNG specification, section 11.2)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(1000)])
def test_a_file_that_is_no_image_says_which_are(data: bytes) -> None:
    assert "PNG, JPEG, WebP, GIF, BMP or TIFF" in sentence(data)


def test_formats_that_are_not_on_the_list_are_not_read(shirt: Pixels) -> None:
    for kind in ("PPM", "TGA", "ICO", "EPS"):
        assert "choose a PNG" in sentence(stored(Image.fromarray(shirt).convert("RGB"), kind))


def test_an_empty_file_is_called_empty() -> None:
    assert "empty" in sentence(b"")


def test_a_folder_and_a_missing_path_are_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.png"):
        assert "There is no such file" in sentence(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_image_that_is_cut_off_is_refused(shirt: Pixels, kind: str) -> None:
    data = stored(enlarged(shirt, 8, Image.Resampling.BICUBIC), kind)
    assert "damaged" in sentence(data[: len(data) // 2])


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (224, 224), (300, 200)])
def test_an_image_of_one_colour_shows_no_garment(value: int, size: tuple[int, int]) -> None:
    assert "No garment was found" in sentence(stored(np.full(size, value, np.uint8)))


def test_noise_alone_shows_no_garment() -> None:
    noise = np.random.default_rng(0).integers(100, 110, (300, 300), np.uint8)
    assert "No garment was found" in sentence(stored(noise))


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_strip_is_a_line_or_refused(shape: tuple[int, int]) -> None:
    strip = np.zeros(5000, np.uint8)
    strip[1000:4000] = 200
    assert prepare(stored(strip.reshape(shape))).pixels.shape == (28, 28)


def test_a_decompression_bomb_is_refused_by_its_header_within_bounded_memory() -> None:
    bomb = png(20_000, 20_000, zlib.compress(bytes(20_001) * 2_000))
    assert "more than 20 million pixels" in sentence(bomb)
    assert memory_taken_by(bomb) < 50


@pytest.mark.parametrize(("width", "height"), [(4001, 5000), (20_000_001, 1)])
def test_one_pixel_more_than_the_limit_is_too_many(width: int, height: int) -> None:
    assert "more than 20 million pixels" in sentence(png(width, height, zlib.compress(bytes(100))))


def test_a_tile_larger_than_its_image_is_refused() -> None:
    fields = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1), (322, 13_000), (323, 13_000)]
    assert "more than 20 million pixels" in sentence(tiff([(tag, 1, value) for tag, value in fields] + [(324, 1, 8)]))


def test_a_tiff_of_millions_of_strips_is_refused_before_they_are_listed() -> None:
    fields = [(256, 1, 10), (257, 1, 10), (258, 1, 8), (259, 1, 1), (262, 1, 1), (273, 5_000_000, 8)]
    bomb = tiff(fields) + bytes(20_000_000)
    assert "too many parts" in sentence(bomb)


def test_a_jpeg_of_thousands_of_scans_is_refused(shirt: Pixels) -> None:
    data = stored(np.kron(shirt, np.ones((40, 40), np.uint8)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert "too many parts" in sentence(data[:-2] + last * 2_000 + b"\xff\xd9")


@pytest.mark.parametrize(
    ("border", "garment"), [(200, 250), (140, 225), (100, 40), (60, 15), (30, 200), (235, 60), (128, 90), (127, 160)]
)
def test_a_garment_is_seen_on_either_side_of_the_borders_brightness(shirt: Pixels, border: int, garment: int) -> None:
    """White on a light wall, navy on dark wood: the garment comes out bright on black."""
    mask = np.kron(np.pad(shirt > 40, 20), np.ones((6, 6), bool))
    pixels = prepare(stored(np.where(mask, garment, border).astype(np.uint8), "PNG")).pixels
    expected = prepare(stored(np.where(mask, 255, 0).astype(np.uint8), "PNG")).pixels
    assert (pixels > 0).sum() == pytest.approx((expected > 0).sum(), rel=0.02)
    assert pixels.max() > 40


def test_a_print_on_a_white_garment_does_not_decide(shirt: Pixels) -> None:
    mask = np.kron(np.pad(shirt > 40, 20), np.ones((6, 6), bool))
    picture = np.where(mask, 250, 205).astype(np.uint8)
    picture[190:214, 190:214] = 30
    pixels = prepare(stored(picture, "PNG")).pixels
    assert (pixels > 100).sum() > 200


def test_a_thin_strip_has_steps_that_can_be_drawn() -> None:
    strip = np.full((4, 2000), 255, np.uint8)
    strip[1:3, 100:1900] = 20
    for step in prepare(stored(strip, "PNG")).steps:
        assert max(step.pixels.shape[:2]) <= THINNEST * min(step.pixels.shape[:2]) + THINNEST


def test_a_film_after_a_jpeg_counts_for_nothing(shirt: Pixels) -> None:
    """A phone's moving photo: a JPEG and, after its end, whatever bytes."""
    data = stored(np.kron(shirt, np.ones((40, 40), np.uint8)), "JPEG", progressive=True)
    np.testing.assert_array_equal(prepare(data + b"\xff\xda\x00\x02" * 5_000).pixels, prepare(data).pixels)


def test_a_camera_photo_of_fifty_megapixels_is_read_within_bounded_memory(shirt: Pixels) -> None:
    photo = Image.new("L", (8192, 6144), 235)
    photo.paste(Image.fromarray(255 - shirt).resize((4000, 4000), Image.Resampling.BICUBIC), (2000, 1000))
    data = stored(photo.convert("RGB"), "JPEG", quality=80)
    assert prepare(data).pixels.max() > 100
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


def tiff(fields: list[tuple[int, int, int]]) -> bytes:
    """A TIFF with these fields (tag, count, value), all of them LONG (TIFF 6.0, section 2)."""
    entries = b"".join(struct.pack("<HHLL", tag, 4, count, value) for tag, count, value in fields)
    return b"II*\0" + struct.pack("<LH", 8, len(fields)) + entries + bytes(4)


def test_many_frames_cost_no_more_than_the_first(shirt: Pixels) -> None:
    frames = [Image.fromarray(np.roll(shirt, shift, 0)) for shift in range(1, 28)] * 20
    data = stored(Image.fromarray(shirt), "GIF", save_all=True, append_images=frames)
    np.testing.assert_array_equal(prepare(data).pixels, shirt)


@pytest.mark.parametrize("chunks", [1, 100])
def test_huge_texts_and_profiles_are_refused(shirt: Pixels, chunks: int) -> None:
    info = PngImagePlugin.PngInfo()
    for number in range(chunks):
        info.add_text(f"text {number}", "a" * (2_000_000 if chunks == 1 else 900_000), zip=True)
    assert "damaged" in sentence(stored(shirt, pnginfo=info))
    assert "damaged" in sentence(stored(shirt, icc_profile=bytes(20_000_000)))


def samples() -> list[tuple[str, bytes]]:
    """Small files of all kinds, with what such files carry."""
    pixels = np.pad(one_of(6), 4)
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


def break_often(times: int) -> None:
    for name, data in samples():
        numbers, refused = random.Random(name), []
        prepare(data)
        for _ in range(times):
            try:
                assert prepare(broken(data, numbers)).pixels.shape == (28, 28)
            except ImageError as error:
                refused.append(str(error))
        assert refused
        assert not any("\n" in text for text in refused)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_broken_files_of_all_kinds_end_in_a_picture_or_one_sentence() -> None:
    break_often(60)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_thousands_of_broken_files_end_in_a_picture_or_one_sentence() -> None:
    break_often(2_000)
