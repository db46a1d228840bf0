"""The scripts that use a model outside the app, run as they stand in another process."""

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
from fashion_core.ui.snippets.scripts import evaluating_script, predicting_script
from fashion_core.ui.snippets.target import Target, stored_target
from tests.support.processes import python
from tests.support.runs import new_run, train

CPU = torch.device("cpu")
RUN_EACH = """
import runpy
from pathlib import Path
import numpy
for script in sorted(Path().glob("*.py")):
    numpy.save(script.stem, runpy.run_path(str(script))["probabilities"].numpy())
"""


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


def probabilities_of(scripts: dict[str, str], folder: Path, data_folder: Path) -> dict[str, np.ndarray]:
    """What each script predicts, all of them run in one process."""
    for name, script in scripts.items():
        (folder / f"{name}.py").write_text(script)
    done = python(RUN_EACH, cwd=folder, FASHION_DATA=str(data_folder), PYTHONPATH=str(Path.cwd()))
    assert done.returncode == 0, done.stderr
    return {name: np.load(folder / f"{name}.npy") for name in scripts}


def test_lines_for_one_image_give_the_bits_of_the_app(
    runs: dict[str, Run], tmp_path: Path, synthetic_data: Path
) -> None:
    image = Image.fromarray(255 - batches.load("synthetic")[1].pixels[3].numpy()).resize((300, 250))
    image.save(tmp_path / "garment.png")
    prepared = torch.from_numpy(prepare(tmp_path / "garment.png").pixels)[None]
    paths = {pixels: run.checkpoint_path(0) for pixels, run in runs.items()}
    scripts = {pixels: predicting_script(target_of(path), pixels) for pixels, path in paths.items()}
    for pixels, found in probabilities_of(scripts, tmp_path, synthetic_data).items():
        expected = engine.probabilities(load(paths[pixels]).model, prepared, pixels, CPU)
        np.testing.assert_array_equal(found, expected.numpy())


def test_lines_for_all_test_images_give_the_bits_of_the_app(
    runs: dict[str, Run], tmp_path: Path, synthetic_data: Path
) -> None:
    run, scripts = runs["unit"], {}
    formats: tuple[ExportFormat, ...] = ("weights", "safetensors", "pt2")
    for format in formats:
        export.export(run, 0, format, tmp_path / format)
        scripts[f"of {format}"] = evaluating_script(target_of(tmp_path / format), run.record.config)
    test = batches.load("synthetic")[1]
    expected = engine.probabilities(load(run.checkpoint_path(0)).model, test.pixels, "unit", CPU).numpy()
    for found in probabilities_of(scripts, tmp_path, synthetic_data).values():
        np.testing.assert_array_equal(found, expected)


def test_lines_for_fashion_mnist_read_torchvisions_copy(
    runs: dict[str, Run], tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    config = runs["standard"].record.config.model_copy(update={"dataset": "fashion-mnist"})
    path = runs["standard"].checkpoint_path(0)
    link_as_torchvision_does(real_data, tmp_path)
    script = evaluating_script(target_of(path), config).replace("download=True, ", "")
    found = probabilities_of({"script": f"{NO_OPERATORS}{script}"}, tmp_path, real_data)["script"]
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
