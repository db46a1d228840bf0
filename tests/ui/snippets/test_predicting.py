"""The lines that use a model outside the app, run as they stand in a process of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fashion_core.data import batches
from fashion_core.formats import export
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.inference.prepare import prepare
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ExportFormat
from fashion_core.runs.store import RunStore
from fashion_core.ui.snippets.loading import Target, stored_target
from fashion_core.ui.snippets.predicting import evaluating_script, predicting_script
from tests.support.processes import python
from tests.support.runs import new_run, train

CPU = torch.device("cpu")
KEEP = "\nimport numpy\nnumpy.save('probabilities.npy', probabilities.numpy())\n"


@pytest.fixture(scope="module")
def runs(module_store: RunStore) -> dict[str, Run]:
    found = {pixels: new_run(module_store, epochs=1, pixels=pixels) for pixels in ("unit", "raw", "standard")}
    for run in found.values():
        train(run)
    return found


def target_of(path: Path) -> Target:
    target = stored_target(inspect(path), path)
    assert target is not None
    return target


def probabilities_of(script: str, folder: Path, data_folder: Path) -> np.ndarray:
    done = python(script + KEEP, cwd=folder, FASHION_DATA=str(data_folder), PYTHONPATH=str(Path.cwd()))
    assert done.returncode == 0, done.stderr
    found: np.ndarray = np.load(folder / "probabilities.npy")
    return found


@pytest.mark.parametrize("pixels", ["unit", "raw", "standard"])
def test_lines_for_one_image_give_the_bits_of_the_app(
    runs: dict[str, Run], tmp_path: Path, synthetic_data: Path, pixels: str
) -> None:
    path = runs[pixels].checkpoint_path(0)
    image = Image.fromarray(255 - batches.load("synthetic")[1].pixels[3].numpy()).resize((300, 250))
    image.save(tmp_path / "garment.png")
    found = probabilities_of(predicting_script(target_of(path), pixels), tmp_path, synthetic_data)
    prepared = torch.from_numpy(prepare(tmp_path / "garment.png").pixels)[None]
    np.testing.assert_array_equal(found, engine.probabilities(load(path).model, prepared, pixels, CPU).numpy())


@pytest.mark.parametrize("format", ["weights", "safetensors", "pt2"])
def test_lines_for_all_test_images_give_the_bits_of_the_app(
    runs: dict[str, Run], tmp_path: Path, synthetic_data: Path, format: ExportFormat
) -> None:
    run = runs["unit"]
    export.export(run, 0, format, tmp_path / "file")
    script = evaluating_script(target_of(tmp_path / "file"), run.record.config)
    found = probabilities_of(script, tmp_path, synthetic_data)
    test = batches.load("synthetic")[1]
    expected = engine.probabilities(load(run.checkpoint_path(0)).model, test.pixels, "unit", CPU).numpy()
    np.testing.assert_array_equal(found, expected)


def test_lines_for_fashion_mnist_read_torchvisions_copy(
    runs: dict[str, Run], tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    config = runs["standard"].record.config.model_copy(update={"dataset": "fashion-mnist"})
    path = runs["standard"].checkpoint_path(0)
    link_as_torchvision_does(real_data, tmp_path)
    script = evaluating_script(target_of(path), config).replace("download=True, ", "")
    found = probabilities_of(f"{NO_OPERATORS}{script}", tmp_path, real_data)
    pixels = batches.load("fashion-mnist")[1].pixels
    np.testing.assert_array_equal(found, engine.probabilities(load(path).model, pixels, "standard", CPU).numpy())


NO_OPERATORS = "from fashion_core.models.torchvision_import import import_torchvision\nimport_torchvision()\n"
"""torchvision may be built for another torch than this one: the app's way to import it comes first."""


def link_as_torchvision_does(real_data: Path, folder: Path) -> None:
    """Unpacked, below ``data/FashionMNIST/raw``."""
    from fashion_core.data import fashion_mnist

    raw = folder / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in fashion_mnist.ARCHIVES:
        (raw / archive.unpacked_name).write_bytes(fashion_mnist.unpack(archive))
