"""Read anyone's image file as an upright picture of bounded size: named formats only, limits before decoding."""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from fashion_core import files
from fashion_core.errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
NAMES = "PNG, JPEG, WebP, GIF, BMP or TIFF"
MOST_BYTES = 100 * 2**20
MOST_PIXELS = 20_000_000  # a decoder takes up to sixteen bytes a pixel (WebP's does)
MOST_JPEG_PIXELS = 64_000_000  # a JPEG is made smaller while it is decoded; a camera's 50 megapixels pass
MOST_SCANNED_PIXELS = 20 * MOST_JPEG_PIXELS  # of about ten scans of a progressive JPEG, each costs a whole picture
MOST_PIECES = 65_536  # strips or tiles of a TIFF: Pillow takes half a kilobyte for each
WORKING_SIDE = 1024  # longest side, in pixels: ample even where the garment fills little of a photo

# What Pillow raises on malformed bytes: its readers are written in Python and check little.
_BROKEN = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
           AssertionError, RuntimeError, MemoryError, struct.error, zlib.error)  # fmt: skip
_TOO_LARGE = "The image has more than {} million pixels: save it smaller and try again."
_TOO_MANY_PARTS = "The image is stored in far too many parts: save it again as a plain PNG or JPEG."
_DAMAGED = "The image is damaged, cut off or of a rare kind: open it in another program and save it as PNG or JPEG."
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 322, 323
_PIECES = (273, 279, 324, 325)  # offsets and sizes of strips and of tiles


def open_picture(source: bytes | Path) -> tuple[Image.Image, str]:
    """Return the first picture in a file or in the bytes of one, and a note on what the file was.

    The picture is L, RGB or RGBA, upright, at most 1,024 pixels on a side. Raises ``ImageError`` or ``DiskError``.
    """
    if isinstance(source, bytes):
        data = source
    elif source.is_file():
        with files.disk_errors(source), source.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    else:
        raise ImageError("There is no such file: give the path of an image.")
    if not data:
        raise ImageError("The file is empty: choose an image.")
    if len(data) > MOST_BYTES:
        raise ImageError(f"The file has more than {MOST_BYTES // 2**20} MB: save the image smaller.")
    if _count_pieces(data) > MOST_PIECES:
        raise ImageError(_TOO_MANY_PARTS)
    with _problems_of_pillow():
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    with image:
        with _problems_of_pillow():
            _check_size(image, data)
            note = f"{image.format} of {image.width} × {image.height} pixels"
            if getattr(image, "is_animated", False):
                note += ", the first of several pictures in the file"
            plain, turned = _decode(image)
        small = _small(plain)
        if turned:
            note += ", turned upright as its EXIF data say"
        if max(small.size) < max(image.size):
            note += f", worked on at {small.width} × {small.height}"
        return small, note


@contextmanager
def _problems_of_pillow() -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise ImageError(f"The file is not an image, or is damaged: choose a {NAMES} file.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_TOO_LARGE.format(MOST_PIXELS // 1_000_000)) from error
    except _BROKEN as error:
        raise ImageError(_DAMAGED) from error


def _check_size(image: Image.Image, data: bytes) -> None:
    """Refuse more pixels than the decoder may allocate: a TIFF's tile may be larger than its image."""
    width, height = image.size
    if isinstance(image, TiffImageFile):
        width = max(width, int(image.tag_v2.get(_TILE_WIDTH, 0)))
        height = max(height, int(image.tag_v2.get(_TILE_LENGTH, 0)))
    is_jpeg = isinstance(image, JpegImageFile)
    most = MOST_JPEG_PIXELS if is_jpeg else MOST_PIXELS
    if width * height > most:
        raise ImageError(_TOO_LARGE.format(most // 1_000_000))
    if is_jpeg and _count_scans(data) * width * height > MOST_SCANNED_PIXELS:
        raise ImageError(_TOO_MANY_PARTS)


def _count_scans(data: bytes) -> int:
    """Count the scans of a JPEG up to its end: what a phone appends, such as a video, is not decoded."""
    scans, found = 0, _MARKER.search(data, 2)
    while found and found[0] != _END:
        scans += found[0] == _SCAN
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        found = _MARKER.search(data, found.end() + length)
    return scans


def _count_pieces(data: bytes) -> int:
    """Count the strips or tiles that a TIFF declares; 0 for anything else. Pillow lists them before it can be asked.

    TIFF 6.0, section 2: an entry is tag, type, count and value; the big variant has longer numbers.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return 0
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    start = struct.unpack_from(order + "Q", data, 8)[0] if big else struct.unpack_from(order + "L", data, 4)[0]
    number, entry = struct.Struct(order + ("Q" if big else "H")), struct.Struct(order + ("HHQQ" if big else "HHLL"))
    if start + number.size > len(data):
        return 0
    entries = data[start + number.size :][: number.unpack_from(data, start)[0] * entry.size]
    whole = entries[: len(entries) // entry.size * entry.size]
    return max((count for tag, _, count, _ in entry.iter_unpack(whole) if tag in _PIECES), default=0)


def _decode(image: Image.Image) -> tuple[Image.Image, bool]:
    """The first picture, upright, in a mode that ``_small`` knows; and whether it had to be turned for that."""
    image.draft(None, (WORKING_SIDE, WORKING_SIDE))
    turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    is_raw = image.mode.startswith("I;16") or image.mode in ("I", "F")  # raw numbers, which ``_small`` scales
    if is_raw or (image.mode in ("L", "RGB") and not image.has_transparency_data):
        return image, turned
    return image.convert("RGBA" if image.has_transparency_data else "L" if image.mode == "1" else "RGB"), turned


def _small(image: Image.Image) -> Image.Image:
    """At most ``WORKING_SIDE`` on a side, eight bits a band."""
    factor = -(-max(image.size) // WORKING_SIDE)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).reduce(factor)
    if image.mode not in ("I", "F"):
        return image.reduce(factor)
    values = np.asarray(image.reduce(factor), np.float64)
    if not np.isfinite(values).all():
        raise ImageError("The image has values that are not numbers: save it as PNG or JPEG.")
    top = values.max()  # no white is fixed: it is the least of the usual ones that none exceeds, or the maximum
    white = next((white for white in (1, 255, 65_535) if top <= white), top)
    return Image.fromarray(np.rint(values.clip(0) * (255 / white)).astype(np.uint8))
