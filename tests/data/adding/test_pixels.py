"""What becomes of a picture: its mode, its size, its colours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_core.errors import DataError
from tests.support.images import stored
from tests.support.sources import add, both_sides, class_folders, noise, write

pytestmark = pytest.mark.usefixtures("data_root")


def with_picture(root: Path, picture: Any, kind: str = "PNG", **options: Any) -> Path:
    """A class of its own for one picture, among others of 8 × 8."""
    both_sides(root, size=(8, 8))
    for half in ("train", "test"):
        write(root / half / "one" / "a.img", stored(picture, kind, **options))
    return root


def one(root: Path, picture: Any, kind: str = "PNG", store: dict[str, Any] | None = None, **asked: Any) -> Any:
    """The picture as (H, W) or (H, W, 3) in the dataset."""
    (pixels,) = add(with_picture(root, picture, kind, **(store or {})), **asked).of_class("one")
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
RED = np.dstack([GREY, GREY // 2, GREY // 4])


def palette() -> Image.Image:
    image = Image.new("P", (8, 8))
    image.putpalette([number for level in range(256) for number in (level, level // 2, level // 4)])
    image.putdata(GREY.ravel().tolist())
    return image


@pytest.mark.parametrize(
    ("picture", "kind", "expected"),
    [
        (GREY, "PNG", GREY),
        (GREY, "BMP", GREY),
        (Image.fromarray(GREY.astype(np.uint16) * 257), "PNG", GREY),
        (Image.fromarray(GREY > 99), "PNG", np.where(GREY > 99, 255, 0)),
        (Image.fromarray(np.dstack([GREY, np.full((8, 8), 255, np.uint8)])), "PNG", GREY),
        (Image.fromarray(np.dstack([GREY, np.zeros((8, 8), np.uint8)])), "PNG", np.full((8, 8), 255)),
        (np.dstack([GREY] * 3), "PNG", GREY),
    ],
    ids=["grey", "bmp", "16 bits", "1 bit", "opaque", "transparent on white", "grey as colour"],
)
def test_grey_picture_of_any_mode(tmp_path: Path, picture: Any, kind: str, expected: Any) -> None:
    assert (one(tmp_path / "set", picture, kind) == expected).all()


@pytest.mark.parametrize(
    ("picture", "kind"),
    [(RED, "PNG"), (palette(), "PNG"), (palette(), "GIF"), (np.dstack([RED, np.full((8, 8), 255, np.uint8)]), "WEBP")],
    ids=["colour", "palette", "gif", "opaque webp"],
)
def test_coloured_picture_of_any_mode(tmp_path: Path, picture: Any, kind: str) -> None:
    store = {"lossless": True} if kind == "WEBP" else {}
    assert (one(tmp_path / "set", picture, kind, store) == RED).all()


def test_cmyk_becomes_colour(tmp_path: Path) -> None:
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = one(tmp_path / "set", picture, "TIFF").reshape(-1, 3).mean(0)
    assert red > 200
    assert max(green, blue) < 60


def test_picture_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (one(tmp_path / "set", GREY, store={"exif": exif}) == np.rot90(GREY, -1)).all()


def test_one_coloured_picture_makes_all_colour(tmp_path: Path) -> None:
    kept = add(with_picture(tmp_path / "set", RED))
    assert kept.description.channels == 3
    assert (kept.of_class("cat")[:, 0] == kept.of_class("cat")[:, 2]).all()


def test_channels_that_are_asked_for_win(tmp_path: Path) -> None:
    assert add(with_picture(tmp_path / "set", RED), channels=1).description.channels == 1
    (tmp_path / "data" / "mine").rename(tmp_path / "before")
    assert add(both_sides(tmp_path / "grey"), channels=3).description.channels == 3


def test_grey_jpeg_that_is_stored_in_colour_is_grey(tmp_path: Path) -> None:
    for half in ("train", "test"):
        for name in ("cat", "dog"):
            picture = Image.fromarray(noise(1, ord(name[0]))[0]).convert("RGB")
            write(tmp_path / "set" / half / name / "a.jpg", stored(picture, "JPEG"))
    assert add(tmp_path / "set").description.channels == 1


def test_size_that_all_share_is_kept_whatever_its_sides(tmp_path: Path) -> None:
    kept = add(both_sides(tmp_path / "set", size=(20, 48)))
    assert (kept.description.height, kept.description.width) == (20, 48)
    assert "choice" not in kept.found


def test_several_sizes_become_32_and_it_is_told(tmp_path: Path) -> None:
    both_sides(tmp_path / "set", size=(28, 28))
    kept = add(class_folders(tmp_path / "set", {"train/cat": 2}, start=100, size=(40, 40)))
    assert kept.train.shape[1:] == (1, 32, 32)
    assert kept.found["choice"] == (
        "The images are of several sizes: they are made 32 × 32, unless you choose another size."
    )
    assert kept.found["resized"] == "18 of 18 images are resized to 32 × 32 pixels."


@pytest.mark.parametrize("size", [(300, 300), (7, 20)])
def test_size_out_of_bounds_becomes_32_and_it_is_told(tmp_path: Path, size: tuple[int, int]) -> None:
    kept = add(both_sides(tmp_path / "set", size=size))
    assert kept.train.shape[1:] == (1, 32, 32)
    assert kept.found["choice"].startswith(f"The images are {size[1]} × {size[0]} pixels, and sides of 8 to 256")


def test_size_that_is_asked_for_wins(tmp_path: Path) -> None:
    assert add(both_sides(tmp_path / "set"), size=16).train.shape[1:] == (1, 16, 16)


WIDE = np.concatenate([np.full((8, 8), level, np.uint8) for level in (0, 100, 100, 0)], axis=1)


@pytest.mark.parametrize(
    ("fit", "check"),
    [
        ("pad", lambda found: (found[:3] == 0).all() and (found[-3:] == 0).all() and 90 < found[4, 4] < 110),
        ("crop", lambda found: (found == 100).all()),
        ("stretch", lambda found: (found == found[0]).all() and found[0, 0] == 0 and found[0, 4] == 100),
    ],
)
def test_picture_is_made_to_fit_as_asked(tmp_path: Path, fit: Any, check: Any) -> None:
    found = one(tmp_path / "set", WIDE, size=8, fit=fit)
    assert check(found), found


def test_padding_has_the_colour_of_the_border(tmp_path: Path) -> None:
    picture = np.full((8, 32), 255, np.uint8)
    picture[2:6, 8:24] = 10
    found = one(tmp_path / "set", picture, size=8)
    assert (found[[0, -1]] == 255).all()


def test_mean_and_std_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    kept = add(both_sides(tmp_path / "set", size=(16, 16, 3)))
    scaled = kept.train / 255
    assert kept.description.mean == pytest.approx(scaled.mean((0, 2, 3)), abs=5.1e-5)
    assert kept.description.std == pytest.approx(scaled.std((0, 2, 3)), abs=5.1e-5)


def test_images_of_one_shade_have_a_std_that_can_divide(tmp_path: Path) -> None:
    for half in ("train", "test"):
        for name in ("cat", "dog"):
            write(tmp_path / "set" / half / name / "a.png", stored(np.full((8, 8), 7, np.uint8)))
    assert add(tmp_path / "set").description.std == (1.0,)


def test_picture_of_too_many_pixels_is_named_before_it_is_decoded(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "set")
    write(root / "train" / "cat" / "bomb.png", stored(Image.new("1", (6000, 6000))))
    kept = add(root)
    (unreadable,) = [finding for finding in kept.report.findings if finding.kind == "unreadable"]
    assert unreadable.names == ("train/cat/bomb.png",)
    assert "more than 20 million pixels" in unreadable.text


@pytest.mark.parametrize("kind", ["empty", "text", "cut off"])
def test_file_that_is_no_image_is_named_with_its_reason(tmp_path: Path, kind: str) -> None:
    root = both_sides(tmp_path / "set")
    whole = (root / "train" / "cat" / "0000.png").read_bytes()
    write(root / "train" / "cat" / "x.png", {"empty": b"", "text": b"hello", "cut off": whole[:200]}[kind])
    (unreadable,) = [finding for finding in add(root).report.findings if finding.kind == "unreadable"]
    assert unreadable.names == ("train/cat/x.png",)


def test_ten_unreadable_files_are_named_and_all_are_counted(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "set", 20)
    for number in range(15):
        write(root / "train" / "cat" / f"x{number:02}.png", b"hello")
    (unreadable,) = [finding for finding in add(root).report.findings if finding.kind == "unreadable"]
    assert unreadable.text.startswith("15 files can't be read and are left out; the first says: The file is not an")
    assert unreadable.names == tuple(f"train/cat/x{number:02}.png" for number in range(10))


def test_more_than_half_unreadable_is_refused(tmp_path: Path) -> None:
    root = both_sides(tmp_path / "set", 2, 2)
    for number in range(9):
        write(root / "train" / "cat" / f"x{number}.png", b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"^9 of 17 images can't be read, more than half; .*`git lfs pull`\.$"):
        add(root)
