"""Read anyone's image file as an upright picture of bounded size: named formats only, limits before decoding.

Texts, profiles and what can't be read of its EXIF data count for nothing. Numbers of more than eight bits are scaled by
the range that they use, as no white is fixed for them.
"""

import io
import re
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from fashion_core import files
from fashion_core.data.image_metadata import TOO_MANY_PARTS, orientation, split
from fashion_core.errors import ImageError

# Pillow warns of sizes that are refused here, and of damage beside the pixels: on a command's output that is noise.
warnings.filterwarnings("ignore", module=r"PIL\.")

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
NAMES = "PNG, JPEG, WebP, GIF, BMP or TIFF"
MOST_BYTES = 100 * 2**20
MOST_PIXELS = 20_000_000  # a decoder takes up to sixteen bytes a pixel (WebP's does)
MOST_JPEG_PIXELS = 64_000_000  # a JPEG is made smaller while it is decoded; a camera's 50 megapixels pass
MOST_SCANNED_PIXELS = 20 * MOST_JPEG_PIXELS  # of about ten scans of a progressive JPEG, each costs a whole picture
WORKING_SIDE = 1024  # longest side, in pixels: ample even where the garment fills little of a photo

# What Pillow raises on malformed bytes: its readers are written in Python and check little.
_PROBLEMS = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
             AssertionError, RuntimeError, MemoryError, struct.error, zlib.error,
             Image.DecompressionBombError, Image.DecompressionBombWarning)  # fmt: skip
_TOO_LARGE = "The image has more than {} million pixels: save it smaller and try again."
_DAMAGED = "The image is damaged, cut off or of a rare kind: open it in another program and save it as PNG or JPEG."
# What people take for one of the formats, and how it begins.
_OTHER_KINDS = {
    "a HEIC photo": rb"....ftyp(?:hei|hev|mif1|msf1)",
    "an AVIF picture": rb"....ftypavi",
    "a film": rb"....ftyp",
    "a JPEG XL picture": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "a JPEG 2000 picture": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "a web page": rb"\s*<(?:!doctype html|html)",
    "an SVG drawing": rb"[^\0]{0,1000}<svg[\s>/]",
    "a PDF": rb"%PDF",
    "a Photoshop document": rb"8BPS",
    "a zip archive": rb"PK\x03\x04",
    "a gzip archive": rb"\x1f\x8b",
    "a NumPy array": rb"\x93NUMPY",
}
_KINDS = tuple(_OTHER_KINDS)
_OTHER_KIND = re.compile(b"|".join(b"(%b)" % start for start in _OTHER_KINDS.values()), re.DOTALL | re.IGNORECASE)
_USUAL = (b"\x89PNG", b"\xff\xd8\xff")  # what no other kind begins with
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_TURNS = {  # what turns a picture upright, by its EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)  # of those: width and height change places
_WHITES = (1, 255, 1023, 4095, 16_383, 65_535)  # of fractions, and of the depths of cameras and files


def open_picture(source: bytes | Path) -> tuple[Image.Image, str]:
    """Return the first picture in a file or in the bytes of one, and notes on what the file was.

    The picture is L, RGB or RGBA, upright, at most 1,024 pixels on a side. Raises ``ImageError`` or ``DiskError``.
    """
    return open_sized(source)[:2]


def open_sized(source: bytes | Path) -> tuple[Image.Image, str, tuple[int, int]]:
    """The same, with width and height of the whole picture, upright."""
    data, exif = split(_checked(source if isinstance(source, bytes) else _read(source)))
    lies = orientation(exif) if exif else 1
    turn = _TURNS.get(lies)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image, data)
        size = image.size[::-1] if lies in _ON_ITS_SIDE else image.size  # before a JPEG is decoded smaller
        notes = [f"{image.format} of {image.width} × {image.height} pixels"]
        if getattr(image, "is_animated", False):
            notes.append("the first of several pictures in the file")
        plain = _decode(image, turn)
    except _PROBLEMS as error:
        raise _refusal(error) from error
    small = _small(plain)
    if turn is not None:
        notes.append("turned upright as its EXIF data say")
    if max(small.size) < max(image.size):
        notes.append(f"worked on at {small.width} × {small.height}")
    return small, ", ".join(notes), image.size if isinstance(image, TiffImageFile) else size


def _read(path: Path) -> bytes:
    with files.disk_errors(path):
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a path can't hold NUL
            raise ImageError("There is no such file: give the path of an image.") from error
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # the system refuses to read a folder, and says so
            raise ImageError("It is a device or a pipe, which may never end: give the path of an image.")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)


def _checked(data: bytes) -> bytes:
    if not data:
        raise ImageError("The file is empty: choose an image.")
    if len(data) > MOST_BYTES:
        raise ImageError(f"The file has more than {MOST_BYTES // 2**20} MB: save the image smaller.")
    if data.startswith(b"version https://git-lfs"):
        raise ImageError("The file is a Git LFS pointer: fetch the image itself with `git lfs pull`.")
    if not data.startswith(_USUAL) and (found := _OTHER_KIND.match(data)):
        kind = _KINDS[(found.lastindex or 1) - 1]
        raise ImageError(f"The file is {kind}, which is not read here: save the picture as {NAMES}.")
    return data


def _refusal(error: Exception) -> ImageError:
    """What to say about a problem of Pillow's."""
    if isinstance(error, UnidentifiedImageError):
        return ImageError(f"The file is not an image, or damaged, or of a rare kind: choose a {NAMES} file.")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageError(_TOO_LARGE.format(MOST_PIXELS // 1_000_000))
    return ImageError(_DAMAGED)


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
        raise ImageError(TOO_MANY_PARTS)


def _count_scans(data: bytes) -> int:
    """Count the scans of a JPEG up to its end: what a phone appends, such as a video, is not decoded."""
    scans, found = 0, _MARKER.search(data, 2)
    while found and found[0] != _END:
        scans += found[0] == _SCAN
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        found = _MARKER.search(data, found.end() + length)
    return scans


def _decode(file: ImageFile, turn: Image.Transpose | None) -> Image.Image:
    """The first picture, upright, in a mode that ``_small`` knows."""
    file.draft(None, (WORKING_SIDE, WORKING_SIDE))
    stored_as = file.tile[0].args if file.tile else None
    file.load()
    # Pillow itself turns a TIFF while it loads it
    image = file if turn is None or isinstance(file, TiffImageFile) else file.transpose(turn)
    if _is_raw(image):
        return image
    if "transparency" in image.info:
        image.info["transparency"] = _in_eight_bits(image.info["transparency"], stored_as)
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    plain = image if image.mode == mode else image.convert(mode)
    return _spread(plain) if ";16" in str(stored_as) else plain


def _is_raw(image: Image.Image) -> bool:
    """Whether its pixels are numbers of more than eight bits."""
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def _in_eight_bits(transparent: Any, stored_as: object) -> Any:
    """The level or colour of a PNG that stands for nothing: Pillow leaves it in the depth of the file."""
    if stored_as == "RGB;16B":
        return tuple(level >> 8 for level in transparent)
    return transparent * {"L;2": 85, "L;4": 17}.get(str(stored_as), 1)


def _small(image: Image.Image) -> Image.Image:
    """At most ``WORKING_SIDE`` on a side, eight bits a band."""
    factor = -(-max(image.size) // WORKING_SIDE)
    if not _is_raw(image):
        return image if factor == 1 else image.reduce(factor)
    numbers = np.array(image, np.float32 if image.mode == "F" else np.int32)
    hidden = numbers == image.info.get("transparency", np.nan)
    if not hidden.any() or hidden.all():
        return _scaled(Image.fromarray(numbers).reduce(factor))
    numbers[hidden] = numbers[~hidden].max()  # it must neither count as part of the range nor darken an edge
    grey = _scaled(Image.fromarray(numbers).reduce(factor))
    grey.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)).reduce(factor))
    return grey.convert("RGBA")


def _scaled(image: Image.Image) -> Image.Image:
    """Numbers as levels, by the range that they use."""
    values: NDArray[np.float64] = np.asarray(image, np.float64)
    if not np.isfinite(values).all():
        raise ImageError("The image has values that are not numbers: save it as PNG or JPEG.")
    return Image.fromarray(_levels(values, float(values.min()), float(values.max())))


def _spread(image: Image.Image) -> Image.Image:
    """An RGB or RGBA image of sixteen bits a colour, of which Pillow keeps the high byte, by the range that it uses."""
    extremes = [band.getextrema() for band in image.split()[:3]]
    low, high = (pick(each) for pick, each in zip((min, max), zip(*extremes, strict=True), strict=True))
    table = _levels(np.arange(256.0), low, high).tolist()
    return image.point([*table * 3, *range(256 * (len(image.mode) - 3))])


def _levels(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Numbers between ``low`` and ``high`` as levels from 0 to 255.

    Black is 0, and white the least of the usual ones that none exceeds: what fills its depth stays as it is. Numbers
    that take less than a quarter of that, such as temperatures, are spread out.
    """
    black, white = min(0.0, low), next((white for white in _WHITES if high <= white), high)
    if high - low < (white - black) / 4:
        black, white = low, high
    return ((values - black) * (256 / (white - black or 1))).clip(0, 255).astype(np.uint8)
