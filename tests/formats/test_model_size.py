"""Whether a model is large for images of some shape, and what its checkpoints take."""

from typing import Any

import pytest
import torch

from fashion_core.config import FASHION, Shape, parse_config
from fashion_core.formats import save
from fashion_core.formats.model_size import _kept_for_each, caution, parameters
from fashion_core.models import build_model
from fashion_core.runs.store import RunStore
from tests.support.runs import FEW, new_run, train

LARGE = Shape(3, 256, 256, 5)


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet18"])
def test_parameters_are_those_of_the_model(model: str) -> None:
    shape = Shape(3, 32, 24, 7)
    assert parameters(model, shape) == sum(one.numel() for one in build_model(model, 0, shape).parameters())


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet18"])
def test_no_model_is_large_for_the_images_of_the_tutorial(model: str) -> None:
    assert caution(parse_config({"model": model, "optimizer": "adam"}), FASHION) is None


@pytest.mark.parametrize(
    ("settings", "size"),
    [({}, "0.4 GB"), ({"momentum": 0.9}, "0.8 GB"), ({"optimizer": "adam", "momentum": 0.9}, "1.2 GB")],
)
def test_large_model_is_told_with_what_a_checkpoint_takes(settings: dict[str, Any], size: str) -> None:
    assert caution(parse_config({"model": "mlp", **settings}), LARGE) == (
        "NeuralNetwork (MLP) for 256 × 256 colour images has 100,929,029 parameters, and each checkpoint takes "
        f"{size}: choose smaller images or ResNet-18."
    )


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"optimizer": "adam"}, {"optimizer": "adamw"}])
def test_checkpoint_takes_as_many_numbers_for_each_parameter(store: RunStore, settings: dict[str, Any]) -> None:
    run = new_run(store, epochs=1, **settings)
    train(run, test_images=FEW)
    kept = save.load_checkpoint(run.checkpoint_path(0))["optimizer_state_dict"]["state"]
    tensors = [one for slot in kept.values() for one in slot.values() if isinstance(one, torch.Tensor) and one.dim()]
    count = parameters("mlp", FASHION)
    assert sum(one.numel() for one in tensors) == count * _kept_for_each(run.record.config)
