"""Images as bytes, the batches made of them, and the order they come in."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_core.config import CLASS_NAMES, PIXEL_MEAN, PIXEL_STD
from fashion_core.data import batches as data
from fashion_core.data import fashion_mnist
from fashion_core.data.batches import Images
from fashion_core.data.description import BUILT_IN, DIGESTS, Description
from fashion_core.data.images import read
from fashion_core.errors import DataError
from fashion_core.models.torchvision_import import import_torchvision

EVERY_BYTE = torch.arange(784).remainder(256).to(torch.uint8).view(1, 1, 28, 28)
GARMENTS = BUILT_IN["fashion-mnist"]


@pytest.fixture
def images() -> Images:
    shades = torch.arange(50)
    return Images(shades.to(torch.uint8)[:, None, None, None].repeat(1, 1, 28, 28), shades, GARMENTS)


def drawn(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def order(images: Images, epoch_seed: int, first_batch: int = 0) -> list[int]:
    batches = data.epoch_batches(images, 8, "unit", "none", epoch_seed, first_batch)
    return [int(label) for _, labels in batches for label in labels]


def test_scaled_pixels_equal_torchvisions_bit_for_bit() -> None:
    import_torchvision()
    from torchvision.transforms import Compose, Normalize, ToTensor

    picture = EVERY_BYTE[0, 0].numpy()[:, :, None]
    assert torch.equal(data.scale(EVERY_BYTE, "unit", GARMENTS)[0], ToTensor()(picture))
    normalized = Compose([ToTensor(), Normalize(0.2860, 0.3530)])(picture)
    assert torch.equal(data.scale(EVERY_BYTE, "standard", GARMENTS)[0], normalized)


def test_raw_pixels_are_the_bytes_which_scaling_leaves_alone() -> None:
    before, raw = EVERY_BYTE.clone(), data.scale(EVERY_BYTE, "raw", GARMENTS)
    data.scale(EVERY_BYTE, "standard", GARMENTS)
    assert raw.dtype == torch.float32
    assert torch.equal(raw, before.float())
    assert torch.equal(EVERY_BYTE, before)


def test_images_stay_with_their_labels(images: Images) -> None:
    for inputs, labels in data.epoch_batches(images, 8, "raw", "none", 7):
        assert inputs.shape == (len(labels), 1, 28, 28)
        assert torch.equal(inputs[:, 0, 0, 0], labels.float())


def test_order_follows_from_the_seed_alone(images: Images) -> None:
    first = order(images, 7)
    assert sorted(first) == list(range(50))
    torch.manual_seed(99)
    assert order(images, 7) == first
    assert order(images, 8) != first


def test_epochs_and_seeds_share_no_stream() -> None:
    seeds = [data.seed_of_epoch(seed, epoch) for seed in range(30) for epoch in range(30)]
    assert len(set(seeds)) == len(seeds)
    assert seeds[:31] == [data.seed_of_epoch(0, epoch) for epoch in range(30)] + [data.seed_of_epoch(1, 0)]
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("augmentation", ["none", "flip and shift"])
@pytest.mark.parametrize("first_batch", [0, 1, 3, 6])
def test_a_part_of_an_epoch_is_the_same_part_each_time(first_batch: int, augmentation: str) -> None:
    images = Images(drawn(50), torch.arange(50), GARMENTS)
    whole = list(data.epoch_batches(images, 8, "unit", augmentation, 7))
    part = list(data.epoch_batches(images, 8, "unit", augmentation, 7, first_batch))
    assert len(part) == len(whole) - first_batch
    for (inputs, labels), (expected_inputs, expected_labels) in zip(part, whole[first_batch:], strict=True):
        assert torch.equal(inputs, expected_inputs)
        assert torch.equal(labels, expected_labels)


def test_flip_and_shift_moves_each_image_by_itself_and_brings_in_black() -> None:
    """Each result is one of the 50 mirrored and moved versions of its image; all 50 come up."""
    pixels = drawn(1).clamp(min=1).repeat(2000, 1, 1, 1)
    moved = data.flip_and_shift(pixels, data.draw_moves(2000, torch.Generator().manual_seed(0)))
    assert (moved.shape, moved.dtype, moved.is_contiguous()) == (pixels.shape, torch.uint8, True)
    versions = {
        np.asarray(torch.nn.functional.pad(image[0], (2, 2, 2, 2))[down : down + 28, right : right + 28]).tobytes()
        for image in (pixels[0], pixels[0].flip(2))
        for down in range(5)
        for right in range(5)
    }
    assert {image.numpy().tobytes() for image in moved} == versions


def test_test_images_come_whole_and_in_order() -> None:
    images = Images(drawn(2500), torch.arange(2500), GARMENTS)
    batches = list(data.test_batches(images, "raw"))
    assert [len(labels) for _, labels in batches] == [1000, 1000, 500]
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)
    assert torch.equal(torch.cat([inputs for inputs, _ in batches]), images.pixels.float())


def test_synthetic_garments_are_drawn_again_where_their_cache_is_damaged(
    synthetic_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (good,) = (path for path in synthetic_data.iterdir() if path.is_file())
    content, cache = good.read_bytes(), tmp_path / good.name
    cache.write_bytes(content)
    before = cache.stat()
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    train, test = data.load("synthetic")
    assert (train.pixels.shape, test.pixels.shape) == ((12_000, 1, 28, 28), (2_000, 1, 28, 28))
    assert (train.pixels.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(len(CLASS_NAMES)))
    assert cache.stat().st_mtime_ns == before.st_mtime_ns
    cache.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    data.load("synthetic")
    assert cache.read_bytes() == content
    assert list(tmp_path.iterdir()) == [cache]


def test_real_images_are_the_official_ones(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and standard deviation as published; order and labels as the files have them."""
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    train, test = data.load("fashion-mnist")
    assert (train.pixels.shape, test.pixels.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    unit = train.pixels.double() / 255
    assert round(unit.mean().item(), 4) == PIXEL_MEAN
    assert round(unit.std().item(), 4) == PIXEL_STD
    for archive, pixels in ((fashion_mnist.ARCHIVES[0], train.pixels), (fashion_mnist.ARCHIVES[2], test.pixels)):
        assert pixels.numpy().tobytes() == fashion_mnist.unpack(archive)[16:]
    for archive, labels in ((fashion_mnist.ARCHIVES[1], train.labels), (fashion_mnist.ARCHIVES[3], test.labels)):
        assert labels.to(torch.uint8).numpy().tobytes() == fashion_mnist.unpack(archive)[8:]


@pytest.mark.parametrize(("dataset", "folder"), [("synthetic", "synthetic_data"), ("fashion-mnist", "real_data")])
def test_digest_is_of_all_arrays(
    dataset: str, folder: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(request.getfixturevalue(folder)))
    train, test = read(BUILT_IN[dataset])
    arrays = train[0], test[0], train[1], test[1]
    assert hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest() == DIGESTS[dataset]


def test_missing_real_images_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    with pytest.raises(DataError, match="Fashion-MNIST is not in"):
        data.load("fashion-mnist")
    assert list(tmp_path.iterdir()) == []


COLOURS = Description.model_validate(
    {**GARMENTS.model_dump(), "channels": 3, "mean": (0.4914, 0.4822, 0.4465), "std": (0.247, 0.2435, 0.2616)}
)


def test_each_channel_is_scaled_by_its_own_mean_as_torchvision_does() -> None:
    import_torchvision()
    from torchvision.transforms import Compose, Normalize, ToTensor

    pixels = torch.stack([EVERY_BYTE[0, 0].roll(shift) for shift in range(3)])[None]
    expected = Compose([ToTensor(), Normalize(COLOURS.mean, COLOURS.std)])(pixels[0].permute(1, 2, 0).numpy())
    assert torch.equal(data.scale(pixels, "standard", COLOURS)[0], expected)


def test_all_channels_of_an_image_move_alike_and_as_one_alone() -> None:
    pixels = drawn(150).view(50, 3, 28, 28)
    moves = data.draw_moves(50, torch.Generator().manual_seed(0))
    moved = data.flip_and_shift(pixels, moves)
    assert (moved.shape, moved.is_contiguous()) == (pixels.shape, True)
    for channel in range(3):
        assert torch.equal(
            moved[:, channel : channel + 1], data.flip_and_shift(pixels[:, channel : channel + 1], moves)
        )


def test_image_that_is_wider_than_high_is_moved_within_its_sides() -> None:
    pixels = torch.ones(40, 3, 8, 20, dtype=torch.uint8)
    moved = data.flip_and_shift(pixels, data.draw_moves(40, torch.Generator().manual_seed(0)))
    assert moved.shape == pixels.shape
    assert moved[:, :, 2:6, 2:18].min() == 1
    assert moved.min() == 0
