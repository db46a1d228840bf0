"""The plain PyTorch that the page shows is run as it stands, in a process of its own."""

import ast
import itertools
import re
from pathlib import Path

import pytest
from helpers import ROOT, config, python, train
from helpers import new_run as make_run

from fashion_core import records, snippets
from fashion_core.config import PRESETS, parse_config
from fashion_core.runs import RunStore

USABLE_TORCHVISION = "from fashion_core.vision import import_torchvision; import_torchvision()\n"
"""The script expects torch and torchvision builds that match; beside a CPU build of torch they don't."""
TOLERANCE = 0.02
"""The script draws its own random order and first weights, so its losses are near, not equal."""


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dataset", ["synthetic", "fashion-mnist"])
def test_script_of_every_preset_is_python(preset: str, dataset: str) -> None:
    ast.parse(snippets.training_script(parse_config({**PRESETS[preset].values, "dataset": dataset})))


def test_script_of_every_choice_is_python() -> None:
    choices = itertools.product(
        ("mlp", "cnn", "resnet18"), ("sgd", "adam", "adamw"), ("constant", "cosine"), ("none", "flip and shift"),
        ("fp32", "bf16"), ("unit", "raw", "standard"), ("synthetic", "fashion-mnist"), (0, 500),
    )  # fmt: skip
    names = (
        "model", "optimizer", "schedule", "augmentation", "precision", "pixels", "dataset", "train_images"
    )  # fmt: skip
    for values in choices:
        ast.parse(snippets.training_script(parse_config(dict(zip(names, values, strict=True)))))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="tutorial"),
        pytest.param(
            {"model": "cnn", "optimizer": "adam", "schedule": "cosine", "pixels": "standard"},
            id="cnn",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"optimizer": "adamw", "precision": "bf16", "augmentation": "flip and shift", "weight_decay": 0.1},
            id="augmented",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_script_run_as_it_stands_measures_what_the_app_measures(
    store: RunStore, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = config(**changes)
    ran = python(USABLE_TORCHVISION + snippets.training_script(settings), cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert ran.returncode == 0, ran.stderr
    script_losses = [float(loss) for loss in re.findall(r"test loss ([\d.]+)", ran.stdout)]
    run = make_run(store, **changes)
    train(run)
    app_losses = [epoch["loss"] for epoch in records.epoch_records(run)]
    assert script_losses == pytest.approx(app_losses, rel=TOLERANCE * (10 if changes else 1))
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".pth") == [
        "model.pth",
        "model_weights.pth",
    ]


def test_model_source_is_the_one_that_the_app_runs() -> None:
    source = snippets.class_source("NeuralNetwork")
    assert source.startswith("class NeuralNetwork(nn.Module):")
    assert "nn.Linear(512, 10)" in source
