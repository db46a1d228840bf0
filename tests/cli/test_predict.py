"""``predict`` and ``evaluate`` on the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fashion_core.config import CLASS_NAMES
from fashion_core.data import batches
from fashion_core.data.description import BUILT_IN
from fashion_core.formats import export
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.runs.run import Run, epoch_records
from fashion_core.runs.schema import ExportFormat
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, answered, printed, refused
from tests.support.images import stored
from tests.support.processes import python
from tests.support.runs import on_real_data, trained


@pytest.fixture(scope="module")
def run(module_store: RunStore) -> Run:
    return trained(module_store, epochs=1)


@pytest.fixture(scope="module")
def garments(synthetic_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("garments")
    paths = [folder / f"{number}.png" for number in range(3)]
    for path, pixels in zip(paths, batches.load("synthetic")[1].pixels, strict=False):
        Image.fromarray(pixels[0].numpy()).save(path)
    return paths


def test_predict_gives_a_record_or_line_an_image_in_their_order(
    run: Run, garments: list[Path], capsys: Capture
) -> None:
    out, err = printed(capsys, "predict", run.weights_path, *garments)
    assert err == ""  # the run folder says how the pixels were scaled
    assert [line.partition(": ")[0] for line in out.splitlines()] == list(map(str, garments))
    found = answered(capsys, "predict", run.checkpoint_path(0), *garments)
    pixels = batches.load("synthetic")[1].pixels[:3]
    expected = engine.probabilities(
        load(run.checkpoint_path(0)).model, pixels, "unit", BUILT_IN["synthetic"], torch.device("cpu")
    )
    for record, path, row in zip(found, garments, expected, strict=True):
        index = int(row.argmax())
        assert record == {
            "image": str(path),
            "class": CLASS_NAMES[index],
            "class_index": index,
            "probability": row[index].item(),
            "probabilities": dict(zip(CLASS_NAMES, row.tolist(), strict=True)),
        }


@pytest.mark.slow
def test_a_damaged_tiff_is_one_sentence_and_libtiff_adds_none(run: Run, tmp_path: Path) -> None:
    data = bytearray(stored(Image.effect_noise((90, 90), 60), "TIFF", compression="tiff_lzw"))
    data[2_000:2_100] = bytes(100)
    (tmp_path / "torn.tif").write_bytes(data)
    code = "import sys; from fashion_core.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = python(code, arguments=("predict", str(run.checkpoint_path(0)), str(tmp_path / "torn.tif")))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "damaged" in done.stderr


def test_what_a_file_does_not_tell_is_assumed_aloud_unless_it_is_said(
    run: Run, garments: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    export.export(run, 0, "weights", tmp_path / "weights.pth")
    out, err = printed(capsys, "predict", tmp_path / "weights.pth", garments[0])
    assert "dataset synthetic, pixels unit assumed; change that with --dataset, --pixels" in err
    said = ("--dataset", "synthetic", "--pixels", "raw")
    raw, err = printed(capsys, "predict", tmp_path / "weights.pth", garments[0], *said)
    assert err == ""
    assert raw != out


def test_one_bad_image_among_others_is_named_and_nothing_is_printed(
    run: Run, garments: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    assert refused(capsys, "predict", str(run.weights_path), str(garments[0]), str(bad)).startswith(str(bad))


def test_evaluate_gives_what_the_run_measured(run: Run, capsys: Capture) -> None:
    found = answered(capsys, "evaluate", run.checkpoint_path(0))
    (epoch,) = epoch_records(run)
    assert found["accuracy"] == epoch["accuracy"]
    assert found["loss"] == pytest.approx(epoch["loss"], rel=1e-5)
    assert found["images"] == np.sum(found["confusion"]) == 2_000
    low, high = found["interval"]
    assert low < found["accuracy"] < high
    assert [one["class"] for one in found["classes"]] == list(CLASS_NAMES)
    assert (found["dataset"], found["pixels"]) == ("synthetic", "unit")
    out, _ = printed(capsys, "evaluate", run.checkpoint_path(0))
    assert "of 2,000 test images of synthetic" in out
    assert all(name in out for name in CLASS_NAMES)


@pytest.mark.parametrize("format", ["checkpoint", "safetensors", "pt2"])
def test_evaluate_of_an_exported_file_needs_no_guess(
    store: RunStore, tmp_path: Path, capsys: Capture, format: ExportFormat
) -> None:
    run = trained(store, epochs=1, optimizer="adam", pixels="standard")
    export.export(run, 0, format, tmp_path / "file")
    found = answered(capsys, "evaluate", tmp_path / "file")  # which asserts that nothing had to be assumed
    (epoch,) = epoch_records(run)
    assert (found["pixels"], found["accuracy"]) == ("standard", epoch["accuracy"])
    assert found["loss"] == pytest.approx(epoch["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate", "missing"], "missing"),
        (["evaluate", "."], "folder"),
        (["evaluate", "FILE", "--device", "cuda:77"], "no device cuda:77"),
        (["evaluate", "FILE", "--pixels", "purple"], "purple"),
        (["predict", "FILE", "missing.png"], "missing.png"),
        (["predict", "FILE", "."], "."),
    ],
)
def test_bad_input_is_one_sentence(run: Run, arguments: list[str], sentence: str, capsys: Capture) -> None:
    given = [str(run.checkpoint_path(0)) if argument == "FILE" else argument for argument in arguments]
    assert sentence in refused(capsys, *given)


def test_the_loss_of_a_model_that_is_very_wrong_is_the_recorded_one(store: RunStore, capsys: Capture) -> None:
    """Its probabilities underflow; the loss is of the logits."""
    run = trained(store, epochs=1, pixels="raw", learning_rate=0.5, optimizer="adam")
    (epoch,) = epoch_records(run)
    assert epoch["loss"] > 100
    assert answered(capsys, "evaluate", run.checkpoint_path(0))["loss"] == pytest.approx(epoch["loss"], rel=1e-5)


def test_evaluate_takes_the_dataset_that_the_file_tells(
    store: RunStore, run: Run, real_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    assert answered(capsys, "evaluate", on_real_data(store, run).model_path)["dataset"] == "fashion-mnist"
