"""The charts of a saved file, and the frames and sentences beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from fashion_core.charts import files
from fashion_core.charts.files import LAYER_COLUMNS, WEIGHT_CHANGE_COLUMNS
from fashion_core.config import parse_config
from fashion_core.formats.inspect import Inspection, inspect
from fashion_core.formats.untrusted.blueprints import OWN
from fashion_core.loops import make_optimizer
from fashion_core.models import build_model
from tests.hostile.building import four_keys

SERIES = ("weights", "optimizer")


def layers(*sizes: tuple[str, int, int]) -> pd.DataFrame:
    rows = [(name, first, second, f"{first + second} B") for name, first, second in sizes]
    return pd.DataFrame(rows, columns=list(LAYER_COLUMNS))


def movements(model: str) -> pd.DataFrame:
    names = [name for name in OWN[model].sizes if not name.endswith("num_batches_tracked")]
    rows = [(name, *name.rpartition(".")[::2], 0.1 * number) for number, name in enumerate(names)]
    return pd.DataFrame(rows, columns=list(WEIGHT_CHANGE_COLUMNS))


def drawing(chart: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    (frame,) = chart.frames.values()
    return chart.without_rows(), frame.to_dict("records")


ALL: dict[str, Callable[[], Any]] = {
    "bars": lambda: files.bar_chart(layers(("a", 3_000_000, 6_000_000), ("b", 20_000, 0)), SERIES, "size"),
    "weight change": lambda: files.weight_change_chart(movements("cnn")),
}


def test_bar_is_filled_then_hollow_without_parts_of_no_size_and_ends_with_its_size_in_words() -> None:
    spec, rows = drawing(ALL["bars"]())
    of_a = [row for row in rows if row["layer"] == "a"]
    assert [(row["part"], row["start"], row["end"]) for row in of_a] == [("weights", 0, 3), ("optimizer", 3, 9)]
    assert [row["text"] for row in rows if row["layer"] == "b" and row["part"] == "optimizer"] == ["20000 B"]
    bar, words = spec["layer"]
    assert (bar["mark"]["type"], words["mark"]["type"]) == ("bar", "text")
    assert bar["transform"] == [{"filter": "(datum.bytes > 0)"}]
    assert words["transform"] == [{"filter": "(datum.part === 'optimizer')"}]
    opacity = bar["encoding"]["fillOpacity"]
    (filled,) = opacity["condition"]
    assert (filled["value"], filled["test"], opacity["value"]) == (1, "(datum.part === 'weights')", 0.12)
    assert (words["encoding"]["x"]["field"], words["encoding"]["text"]["field"]) == ("end", "text")


@pytest.mark.parametrize(("size", "unit"), [(300, "bytes"), (30_000, "kB"), (3_000_000, "MB"), (5 * 10**9, "MB")])
def test_axis_counts_in_the_unit_of_the_longest_bar(size: int, unit: str) -> None:
    spec, rows = drawing(files.bar_chart(layers(("a", size, 0), ("b", 1, 0)), SERIES, "size"))
    assert spec["layer"][0]["encoding"]["x"]["title"] == f"size ({unit})"
    assert rows[0]["end"] == size / {"bytes": 1, "kB": 1e3, "MB": 1e6}[unit]


def test_rows_stand_in_the_order_of_the_model_and_none_loses_its_name() -> None:
    orders = (["a", "b"], list(dict.fromkeys(movements("cnn")["layer"])))
    for chart, order in zip(ALL.values(), orders, strict=True):
        for layer in drawing(chart())[0]["layer"]:
            assert layer["encoding"]["y"]["sort"] == order
            assert layer["encoding"]["y"]["axis"]["labelOverlap"] is False


@pytest.mark.parametrize(("model", "rows"), [("mlp", 3), ("cnn", 6), ("resnet18", 41)])
def test_chart_is_as_high_as_its_layers_need(model: str, rows: int) -> None:
    spec, _ = drawing(files.weight_change_chart(movements(model)))
    assert spec["height"] == rows * 18
    assert spec["autosize"] == {"type": "fit-x", "contains": "padding"}
    spec, nothing = drawing(files.weight_change_chart(movements(model).head(0)))
    assert (spec["height"], nothing) == (18, [])


def test_each_tensor_is_a_mark_whose_shape_tells_its_kind_which_the_key_names() -> None:
    spec, rows = drawing(ALL["weight change"]())
    line, marks = spec["layer"]
    assert len(rows) == len(movements("cnn"))
    assert marks["encoding"]["shape"]["scale"]["domain"] == list(files.KINDS)
    assert len(set(marks["encoding"]["shape"]["scale"]["range"])) == len(files.KINDS)
    assert marks["encoding"]["x"]["title"] == "relative L2 change (%)"
    aggregated = line["transform"][0]["aggregate"]
    assert {(part["op"], part["field"]) for part in aggregated} == {("min", "change"), ("max", "change")}
    assert files.weight_change_key(movements("mlp")) == "● weight · ◆ bias"
    assert files.weight_change_key(movements("cnn")).endswith("▲ running_mean · ▼ running_var")


def checkpoint(name: str, **changes: Any) -> dict[str, Any]:
    model = build_model(name, seed=0)
    return four_keys(model, make_optimizer(parse_config({"model": name, **changes}), model))


def inspected(path: Path, content: object) -> Inspection:
    torch.save(content, path)
    return inspect(path)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
def test_bytes_by_layer_add_up_to_the_weights_and_to_the_optimizers_state(tmp_path: Path, name: str) -> None:
    content = checkpoint(name, optimizer="adam")
    layers = files.layers_frame(inspected(tmp_path / "file", content)).set_index("layer")
    weights = content["model_state_dict"]
    assert layers["first"].sum() == sum(tensor.nbytes for tensor in weights.values())
    slots = content["optimizer_state_dict"]["state"].values()
    assert layers["second"].sum() == sum(tensor.nbytes for slot in slots for tensor in slot.values())
    assert list(layers.index) == list(dict.fromkeys(key.rpartition(".")[0] for key in weights))


@pytest.mark.parametrize("key", ["optimizer_state_dict", "opt"])
def test_state_of_the_optimizer_belongs_to_the_layer_of_its_parameter(tmp_path: Path, key: str) -> None:
    """Batch norm's buffers stand between the parameters in the state_dict, and have no slot."""
    content = checkpoint("cnn", optimizer="adam")
    content[key] = content.pop("optimizer_state_dict")
    by_layer = files.layers_frame(inspected(tmp_path / "file", content)).set_index("layer")
    weights = (128 * 3136 + 128) * 4
    assert by_layer.loc["classifier.2", "first"] == weights
    assert by_layer.loc["classifier.2", "second"] == 2 * weights + 2 * 4
    assert by_layer.loc["features.1", "second"] == 2 * 2 * 32 * 4 + 2 * 4


@pytest.mark.parametrize("kind", ["weights", "model", "lightning", "parallel", "numbered", "in parts", "wrapped"])
def test_tensors_have_their_names_in_the_model_wherever_they_stand(tmp_path: Path, kind: str) -> None:
    model = build_model("mlp", seed=0)
    weights = model.state_dict()
    contents: dict[str, object] = {
        "weights": weights,
        "model": model,
        "lightning": {"pytorch-lightning_version": "2", "state_dict": {f"model.{k}": v for k, v in weights.items()}},
        "numbered": list(weights.values()),
        "in parts": {"linear_relu_stack": model.get_submodule("linear_relu_stack").state_dict()},
        "wrapped": {key.replace("stack.", "stack.module."): value for key, value in weights.items()},
        "parallel": {"model_state_dict": {f"module.{key}": value for key, value in weights.items()}},
    }
    frame = files.tensors_frame(inspected(tmp_path / "file", contents[kind]))
    assert list(frame["tensor"]) == list(weights)
    assert set(frame["part"]) == {"parameters"}
    assert list(frame.columns) == list(files.TENSOR_COLUMNS)


def test_tensor_figures_are_those_of_torch(tmp_path: Path) -> None:
    weights = build_model("mlp", seed=0).state_dict()
    weights["linear_relu_stack.4.bias"][0] = float("nan")
    row: Any = files.tensors_frame(inspected(tmp_path / "file", weights)).set_index("tensor")
    first = weights["linear_relu_stack.0.weight"]
    assert row.loc["linear_relu_stack.0.weight", "mean"] == pytest.approx(first.double().mean().item())
    assert sum(row.loc["linear_relu_stack.0.weight", "histogram"]) == first.numel()
    assert row.loc["linear_relu_stack.4.bias", "nan"] == 1
    assert row.loc["linear_relu_stack.0.weight", "shape"] == "512 × 784"


def test_file_without_a_model_has_rows_and_no_layers(tmp_path: Path) -> None:
    found = inspected(tmp_path / "file", {"history": [torch.zeros(3)]})
    assert list(files.tensors_frame(found)["part"]) == ["other"]
    assert files.layers_frame(found).empty


def test_settings_of_the_optimizer_are_those_in_the_file(tmp_path: Path) -> None:
    found = inspected(tmp_path / "file", checkpoint("mlp", optimizer="sgd", momentum=0.9, learning_rate=0.25))
    settings = files.optimizer_settings(found)
    assert (settings["lr"], settings["momentum"], settings["nesterov"]) == (0.25, 0.9, False)
    assert "params" not in settings
    assert files.optimizer_settings(inspected(tmp_path / "file", {"a": torch.zeros(1)})) == {}


def measured(checkpoint_bytes: int) -> dict[str, Any]:
    names, sizes = list(files.FORMATS), (2_681_749, 2_683_285, checkpoint_bytes, 2_679_544, 2_701_447)
    same = {"save_seconds": 0.005, "load_seconds": 0.004, "difference": 0.0}
    rows = [{"format": name, "bytes": size, **same} for name, size in zip(names, sizes, strict=True)]
    return {"images": 256, "what": "test images", "formats": rows}


@pytest.mark.parametrize(
    ("size", "optimizer", "reason"),
    [
        (8_044_443, "adam", "3.0 times as large: Adam keeps two numbers for each weight"),
        (8_044_443, "adamw", "3.0 times as large: AdamW keeps two numbers for each weight"),
        (2_682_453, "sgd", "1.0 times as large: plain SGD keeps no state"),
        (5_363_000, "sgd", "2.0 times as large: SGD keeps a momentum for each weight"),
        (2_682_453, None, "1.0 times as large: it carries no optimizer"),
    ],
)
def test_sizes_make_the_tutorials_point_in_words(size: int, optimizer: str | None, reason: str) -> None:
    said = files.sizes_sentence(measured(size), optimizer)
    assert said.startswith("**Weights only take 2.68 MB.** The whole model takes 1.54 kB more")
    assert reason in said


def test_five_ways_say_what_each_keeps_and_loses_and_bars_are_as_long_as_the_files() -> None:
    ways = files.formats_frame(measured(8_044_443), "adam").set_index("format")
    assert list(ways.index) == ["weights only", "whole model", "checkpoint", "safetensors", "pt2 program"]
    assert list(ways["optimizer"]) == ["– lost", "– lost", "✓ Adam", "– lost", "– lost"]
    assert list(ways["epoch and loss"]) == ["– lost", "– lost", "✓ kept", "✓ kept", "✓ kept"]
    assert str(ways.loc["whole model", "safe to share"]).startswith("no")
    off = measured(1)
    off["formats"][1]["difference"] = 3e-7
    assert list(files.formats_frame(off, None)["outputs"])[:2] == ["the same bits", "off by up to 3.0e-07"]
    bars = files.sizes_frame(files.format_sizes(measured(8_044_443)), weights=2_678_824)
    assert list(bars["first"] + bars["second"]) == [row["bytes"] for row in measured(8_044_443)["formats"]]
    assert bars.set_index("layer").loc["checkpoint", "second"] == 8_044_443 - 2_678_824
    assert list(bars["text"].iloc[:3]) == ["2.68 MB + 2.92 kB", "2.68 MB + 4.46 kB", "2.68 MB + 5.37 MB"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (2_681_749, "2.68 MB"), (134_230_551, "134 MB"),
     (999_700, "1,000 kB"), (2_700_000, "2.70 MB"), (5 * 10**9, "5.00 GB")],
)  # fmt: skip
def test_sizes_have_three_digits(count: int, text: str) -> None:
    assert files.bytes_text(count) == text
