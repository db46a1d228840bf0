"""Images to probabilities from any saved file: the same bits as plain PyTorch, models loaded once, bounded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fashion_core.data import batches
from fashion_core.data.description import BUILT_IN
from fashion_core.errors import RefusedFileError
from fashion_core.formats import export
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.models import NeuralNetwork, build_model
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES, ExportFormat
from fashion_core.runs.store import RunStore
from tests.support.files import settle
from tests.support.processes import python
from tests.support.runs import trained

CPU = torch.device("cpu")
GARMENTS = BUILT_IN["synthetic"]
PLAIN = """
import sys

import numpy as np
import torch
from torch import nn
from fashion_core.models import NeuralNetwork, SmallCNN

path, pixels, out, kind, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
images = torch.from_numpy(np.load(pixels)).float() / 255
if kind == "pt2":
    model = torch.export.load(path).module()
else:
    model = {"mlp": NeuralNetwork, "cnn": SmallCNN}[kind]()
    model.load_state_dict(torch.load(path, weights_only=True)["model_state_dict"])
    model.eval()
with torch.inference_mode():
    np.save(out, torch.cat([model(batch).softmax(1) for batch in images.split(1000)]).numpy())
"""
IMAGES = 1100  # a whole batch and a part of one


@pytest.fixture(scope="module")
def runs(module_store: RunStore) -> dict[str, Run]:
    return {name: trained(module_store, model=name, epochs=1) for name in ("mlp", "cnn")}


@pytest.fixture(scope="module")
def pixels(synthetic_data: Path) -> torch.Tensor:
    return batches.load("synthetic")[1].pixels[:IMAGES]


def plain(path: Path, pixels: torch.Tensor, folder: Path, kind: str) -> np.ndarray:
    """What plain PyTorch computes in a process of its own with as many threads, for some CPUs round by their number."""
    np.save(folder / "pixels.npy", pixels.numpy())
    files = (str(path), str(folder / "pixels.npy"), str(folder / "out.npy"))
    done = python(PLAIN, arguments=(*files, kind, str(torch.get_num_threads())))
    assert done.returncode == 0, done.stderr
    found: np.ndarray = np.load(folder / "out.npy")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_all_formats_of_a_checkpoint_give_the_bits_of_plain_pytorch(
    runs: dict[str, Run], pixels: torch.Tensor, tmp_path: Path, name: str
) -> None:
    """The tolerance is zero for each of the five; a ``.pt2`` program's numbers are put into the same model, and torch
    itself runs the program to the same bits.
    """
    run = runs[name]
    expected = plain(run.checkpoint_path(0), pixels, tmp_path, name)
    for format, file in EXPORT_NAMES.items():
        export.export(run, 0, format, tmp_path / file)
        found = engine.probabilities(load(tmp_path / file).model, pixels, "unit", GARMENTS, CPU).numpy()
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() == 0, format
    assert np.abs(plain(tmp_path / EXPORT_NAMES["pt2"], pixels, tmp_path, "pt2") - expected).max() == 0


@pytest.mark.parametrize("scaling", ["raw", "unit", "standard"])
def test_probabilities_are_of_images_scaled_as_the_model_was_trained(pixels: torch.Tensor, scaling: str) -> None:
    model = build_model("mlp", seed=0).eval()
    expected = model(batches.scale(pixels[:10], scaling, GARMENTS)).softmax(1)
    assert torch.equal(engine.probabilities(model, pixels[:10], scaling, GARMENTS, CPU), expected)


def test_a_model_is_loaded_once_until_its_file_changes(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    path = tmp_path / "model.pth"
    path.write_bytes(runs["mlp"].model_path.read_bytes())
    models = engine.Models()
    first = models.get(path, CPU, GARMENTS)
    assert models.get(path, CPU, GARMENTS) is first
    path.unlink()
    path.write_bytes(runs["cnn"].model_path.read_bytes())
    assert type(models.get(path, CPU, GARMENTS)) is not type(first)


def test_models_that_are_kept_take_no_more_than_they_may_and_a_larger_one_is_still_used(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    size = sum(tensor.nbytes for tensor in build_model("mlp", seed=0).state_dict().values())
    models = engine.Models(capacity=2 * size)
    paths = [tmp_path / f"{number}.pth" for number in range(4)]
    for path in paths:
        path.write_bytes(runs["mlp"].model_path.read_bytes())
        models.get(path, CPU, GARMENTS)
        assert models.cache.size <= 2 * size
    kept = models.get(paths[3], CPU, GARMENTS)
    models.get(paths[2], CPU, GARMENTS)
    assert models.get(paths[3], CPU, GARMENTS) is kept
    assert isinstance(engine.Models(capacity=1).get(paths[0], CPU, GARMENTS), NeuralNetwork)


def test_a_refused_file_is_not_kept(tmp_path: Path) -> None:
    models = engine.Models()
    (tmp_path / "no-model").write_bytes(b"nothing")
    with pytest.raises(RefusedFileError):
        models.get(tmp_path / "no-model", CPU, GARMENTS)
    assert models.cache.size == 0


@pytest.mark.parametrize("format", EXPORT_NAMES)
def test_what_a_file_was_trained_on_is_known(runs: dict[str, Run], tmp_path: Path, format: ExportFormat) -> None:
    """Three formats say it themselves, wherever the file lies; the others have their run folder, or nothing."""
    run = runs["mlp"]
    known = {"dataset": "synthetic", "pixels": "unit"}
    assert engine.trained_on(run.weights_path, load(run.weights_path)) == known
    export.export(run, 0, format, tmp_path / "file")
    expected = {} if format in ("weights", "model") else known
    assert engine.trained_on(tmp_path / "file", load(tmp_path / "file")) == expected
