"""Predictions and evaluations in colour and of other classes, by the helper process and by command."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fashion_core.config import FASHION
from fashion_core.data import batches
from fashion_core.data.description import BUILT_IN, Description
from fashion_core.errors import DataError, WorkerError
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.inference.client import Predictor
from fashion_core.models import build_model
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, answered, printed
from tests.support.datasets import COLOUR, add_dataset, data_folder
from tests.support.runs import trained

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {"dataset": "shoes", "pixels": "standard", "optimizer": "adam", "learning_rate": 0.01}


@pytest.fixture(scope="module")
def shoes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Description]:
    with data_folder(tmp_path_factory.mktemp("data")):
        yield add_dataset("shoes", COLOUR)


@pytest.fixture(autouse=True)
def added(shoes: Description) -> None:
    """Every test here sees the dataset."""


@pytest.fixture(scope="module")
def run(shoes: Description, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(RunStore(tmp_path_factory.mktemp("runs")), **SETTINGS, train_images=200, batch_size=20, epochs=3)


def test_command_evaluates_on_the_dataset_of_the_run(run: Run, capsys: Capture) -> None:
    found = answered(capsys, "evaluate", run.weights_path)
    facts = run.file_info(run.weights_path)
    assert facts is not None
    assert (found["dataset"], found["images"], found["accuracy"]) == ("shoes", 60, facts.accuracy)
    assert found["loss"] == pytest.approx(facts.loss)
    assert [one["class"] for one in found["classes"]] == [f"kind {number}" for number in range(5)]
    assert np.array(found["confusion"]).shape == (5, 5)
    assert found["accuracy"] > 0.9


def test_checkpoint_is_evaluated_by_what_it_says_itself(run: Run, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "alone"
    path.write_bytes(run.checkpoint_path(2).read_bytes())
    assert answered(capsys, "evaluate", path)["dataset"] == "shoes"


def test_file_of_other_classes_is_refused_for_a_dataset(tmp_path: Path, capsys: Capture) -> None:
    torch.save(build_model("mlp", 0, FASHION).state_dict(), tmp_path / "w.pth")
    said = printed(capsys, "evaluate", tmp_path / "w.pth", "--dataset", "shoes", "--pixels", "unit", status=1)[1]
    assert "The file is not usable: the model has 10 outputs, Shoes has 5 classes." in said


def test_picture_of_any_size_is_made_to_fit_those_of_the_dataset(run: Run, tmp_path: Path, capsys: Capture) -> None:
    pixels = batches.load("shoes")[1].pixels[3].numpy().transpose(1, 2, 0)
    for name, size in (("same", (32, 32)), ("larger", (64, 64)), ("wide", (90, 30))):
        Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(tmp_path / f"{name}.png")
        (found,) = answered(capsys, "predict", run.checkpoint_path(0), tmp_path / f"{name}.png")
        assert set(found["probabilities"]) == {f"kind {number}" for number in range(5)}
        if name == "same":
            model, one = load(run.checkpoint_path(0)).model, batches.load("shoes")[1].pixels[3:4]
            expected = engine.probabilities(model, one, "standard", run.record.description, CPU)
            assert [*found["probabilities"].values()] == expected[0].tolist()


def test_helper_process_answers_in_colour_with_the_bits_of_this_one(run: Run, shoes: Description) -> None:
    test = batches.load("shoes")[1]
    predictor = Predictor()
    try:
        pixels, labels = predictor.test_images("shoes")
        np.testing.assert_array_equal(pixels, test.pixels.numpy())
        np.testing.assert_array_equal(labels, test.labels.numpy())
        expected = engine.probabilities(load(run.model_path).model, test.pixels, "standard", shoes, CPU).numpy()
        np.testing.assert_array_equal(predictor.evaluate(run.model_path, "shoes", "standard"), expected)
        np.testing.assert_array_equal(predictor.predict(run.model_path, pixels, "standard", shoes), expected)
        with pytest.raises(WorkerError, match="the model has 5 outputs, synthetic garments has 10 classes"):
            predictor.predict(run.model_path, pixels, "unit", BUILT_IN["synthetic"])
        with pytest.raises(WorkerError, match="not of 3 × 16 × 32"):
            predictor.predict(run.model_path, pixels[:, :, ::2], "unit", shoes)
    finally:
        predictor.close()


def test_images_of_another_shape_are_one_sentence(run: Run, shoes: Description) -> None:
    with pytest.raises(DataError, match="takes images of 3 × 32 × 32, as Shoes has them, not of 28 × 28"):
        engine.probabilities(load(run.model_path).model, torch.zeros(2, 28, 28), "unit", shoes, CPU)


def test_dataset_that_was_replaced_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    add_dataset("boots", COLOUR, test=20)
    assert len(engine.test_images("boots")) == 20
    for path in (tmp_path / "boots").iterdir():
        path.unlink()
    (tmp_path / "boots").rmdir()
    add_dataset("boots", COLOUR, test=30)
    assert len(engine.test_images("boots")) == 30


def test_command_describes_a_model_for_a_dataset(capsys: Capture) -> None:
    layers = answered(capsys, "model", "cnn", "--dataset", "shoes")["layers"]
    assert [layers[0]["output_shape"], layers[-1]["output_shape"]] == [[32, 32, 32], [5]]


def test_command_shows_the_shape_and_the_classes_of_a_file(run: Run, capsys: Capture) -> None:
    said = printed(capsys, "inspect", run.checkpoint_path(0))[0]
    assert "made for: 5 classes, images of 3 × 32 × 32" in said
    assert "classes: kind 0, kind 1" in said
    assert answered(capsys, "inspect", run.weights_path)["shape"] == [3, 32, 32, 5]
