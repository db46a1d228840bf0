from pathlib import Path

import pytest
import torch
from torch import nn

from fashion_core.charts import files
from fashion_core.errors import ComparisonError, RefusedFileError
from fashion_core.formats.weight_change import WeightChange, weight_change
from fashion_core.models import build_model


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def moved_model(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.mul_(1 + 0.01 * number)
    return model


def test_change_of_each_tensor_is_that_of_torch(tmp_path: Path) -> None:
    before = build_model("cnn", seed=0).state_dict()
    after = moved_model(build_model("cnn", seed=0)).state_dict()
    found = weight_change(
        saved(tmp_path / "a", {"model_state_dict": before}), saved(tmp_path / "b", {"model_state_dict": after})
    )
    assert list(found.tensors) == [key for key in before if not key.endswith("num_batches_tracked")]
    for name, change in found.tensors.items():
        if before[name].norm() == 0:
            assert change is None
        else:
            a, b = before[name].double(), after[name].double()
            assert change == pytest.approx(float((b - a).norm() / a.norm()), rel=1e-9, abs=1e-12)
    learned = [key for key in before if key.endswith(("weight", "bias"))]
    both = [torch.cat([state[key].double().flatten() for key in learned]) for state in (before, after)]
    assert found.overall == pytest.approx(float((both[1] - both[0]).norm() / both[0].norm()), rel=1e-9)


def test_formats_and_prefixes_make_no_difference(tmp_path: Path) -> None:
    model = build_model("mlp", seed=0)
    weights = model.state_dict()
    found = weight_change(
        saved(tmp_path / "a", {f"module.{key}": value for key, value in weights.items()}), saved(tmp_path / "b", model)
    )
    assert set(found.tensors.values()) == {0.0}
    assert files.weight_change_sentence(found, "the other") == "**The same weights** as the other: no tensor moved."


def test_different_models_are_one_sentence_and_no_weights_are_refused(tmp_path: Path) -> None:
    first = saved(tmp_path / "a", build_model("mlp", seed=0).state_dict())
    second = saved(tmp_path / "b", build_model("cnn", seed=0).state_dict())
    with pytest.raises(ComparisonError, match=r"different models: linear_relu_stack\.0\.weight differs between them"):
        weight_change(first, second)
    with pytest.raises(RefusedFileError):
        weight_change(first, saved(tmp_path / "c", {"epoch": 3}))


def test_sentence_names_what_moved_most_and_least(tmp_path: Path) -> None:
    before, after = build_model("mlp", seed=0), moved_model(build_model("mlp", seed=0))
    found = weight_change(saved(tmp_path / "a", before.state_dict()), saved(tmp_path / "b", after.state_dict()))
    said = files.weight_change_sentence(found, "epoch 1")
    assert said.startswith("From epoch 1 to this file the weights moved by **")
    assert "Most: `linear_relu_stack.4.bias` (5.00%), least: `linear_relu_stack.0.weight` (0.00%)." in said


def test_tensors_that_were_all_zero_have_no_row() -> None:
    frame = files.weight_change_frame(WeightChange({}, None).tensors)
    assert list(frame.columns) == list(files.WEIGHT_CHANGE_COLUMNS)
    assert frame.empty
