"""What inspecting a saved file shows, and what it costs."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from fashion_core import files
from fashion_core.config import MODEL_CLASSES, Shape
from fashion_core.errors import DiskError
from fashion_core.formats import export
from fashion_core.formats.inspect import NUMBERS_READ_BYTES, Inspection, inspect
from fashion_core.formats.pickled_layers import pickled_layers
from fashion_core.formats.untrusted.blueprints import blueprint, learned_in, sizes_of
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.models import build_model
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES
from fashion_core.runs.store import RunStore
from tests.benchmarks.inspect import large_checkpoint
from tests.hostile.building import repickled, saved
from tests.hostile.opcodes import mapping, storage, tensor, text, whole
from tests.support import blueprints
from tests.support.datasets import SHAPES
from tests.support.processes import python
from tests.support.runs import trained


@pytest.fixture(scope="module")
def run(module_store: RunStore) -> Run:
    return trained(module_store, epochs=1, optimizer="adamw", weight_decay=0.05)


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    for format in EXPORT_NAMES:
        export.export(run, 0, format, folder / format)
    content = torch.load(run.checkpoint_path(0), weights_only=True)
    torch.save(content, folder / "legacy", _use_new_zipfile_serialization=False)
    return {path.name: path for path in folder.iterdir()}


def inspected(tmp_path: Path, content: Any) -> Inspection:
    (tmp_path / "file").write_bytes(saved(content))
    return inspect(tmp_path / "file")


CONTAINERS = {
    "weights": ("zip", "weights"), "model": ("zip", "model"), "checkpoint": ("zip", "checkpoint"),
    "safetensors": ("safetensors", "safetensors"), "pt2": ("pt2", "pt2"), "legacy": ("legacy", "checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTAINERS)
def test_each_kind_of_file_is_known_by_its_content(exported: dict[str, Path], kind: str) -> None:
    found = inspect(exported[kind])
    assert (found.container, found.format) == CONTAINERS[kind]
    assert (found.refusal, found.refused, found.model, found.parameters) == (None, (), "mlp", 669_706)
    assert files.Digest(str(found.sha256), found.bytes) == files.digest_of(exported[kind])
    assert found.has_checksum == (kind != "legacy"), "only a file before torch 1.6 has no checksum"
    assert ["graph is not examined" in note for note in found.notes] == ([True] if kind == "pt2" else [])
    json.dumps(asdict(found), allow_nan=False)


def test_members_have_their_bytes_and_names_are_all_that_the_pickle_refers_to(exported: dict[str, Path]) -> None:
    weights, safetensors = inspect(exported["weights"]), inspect(exported["safetensors"])
    members = dict(weights.members)
    assert members["archive/data/0"] == 784 * 512 * 4
    assert {"archive/data.pkl", "archive/version", "archive/.data/serialization_id"} <= members.keys()
    assert weights.names == ("collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2")
    names = {name.replace("__builtin__", "builtins") for name in inspect(exported["model"]).names}
    assert {"fashion_core.models.NeuralNetwork", "torch.nn.modules.linear.Linear", "builtins.set"} <= names
    assert (len(safetensors.members), safetensors.names) == (1, ())


def test_names_that_are_not_allowed_are_told_apart(tmp_path: Path) -> None:
    model = build_model("mlp", seed=0)
    model.register_forward_hook(print)
    found = inspected(tmp_path, model)
    assert (found.refused, found.verdict) == (("__builtin__.print",), "not usable")
    assert found.refusal == (
        "The file is refused: it refers to __builtin__.print, which no saved weights need; save the state_dict alone."
    )


def test_tensors_have_name_shape_dtype_and_bytes(exported: dict[str, Path]) -> None:
    tensors = {tensor.name: tensor for tensor in inspect(exported["checkpoint"]).tensors}
    weight = tensors["model_state_dict.linear_relu_stack.0.weight"]
    assert (weight.dtype, weight.shape, weight.bytes) == ("float32", (512, 784), 512 * 784 * 4)
    step = tensors["optimizer_state_dict.state.0.step"]
    assert (step.dtype, step.shape, step.bytes) == ("float32", (), 4)
    assert len(tensors) == 6 + 6 * 3
    assert [tensor.name for tensor in inspect(exported["model"]).tensors] == list(build_model("mlp", 0).state_dict())


def test_epoch_loss_and_optimizer_are_read(run: Run, exported: dict[str, Path]) -> None:
    facts = run.file_info(run.checkpoint_path(0))
    assert facts is not None
    for kind in ("checkpoint", "legacy", "safetensors"):
        found = inspect(exported[kind])
        assert (found.epoch, found.loss) == (0, facts.loss)
    optimizer = inspect(exported["checkpoint"]).optimizer
    assert optimizer is not None
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", 1e-3, 0.05)
    assert (optimizer.tensors, optimizer.bytes) == (18, 2 * 669_706 * 4 + 6 * 4)
    assert inspect(exported["weights"]).optimizer is None


def test_optimizer_is_known_by_its_settings_and_the_model_whatever_its_prefix(tmp_path: Path) -> None:
    model = build_model("mlp", seed=0)
    weights = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    for kind, name in (("SGD", "sgd"), ("Adam", "adam"), ("AdamW", "adamw"), ("Adagrad", "unknown")):
        state = getattr(torch.optim, kind)(model.parameters(), lr=0.1).state_dict()
        found = inspected(tmp_path, {"state_dict": weights, "optimizer_state_dict": state})
        assert found.optimizer is not None
        assert (found.optimizer.name, found.prefix, found.model) == (name, "module.", "mlp")


def test_verdict_says_what_is_missing_for_an_exact_resume(exported: dict[str, Path], tmp_path: Path) -> None:
    own = inspect(exported["checkpoint"])
    assert (own.verdict, own.missing) == ("exact", ())
    model = build_model("mlp", seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1).state_dict()
    content = {"epoch": 1, "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer}
    theirs = inspected(tmp_path, content)
    assert (theirs.verdict, theirs.missing) == ("approximate", ("settings", "environment"))
    weights = inspect(exported["weights"])
    assert (weights.verdict, *weights.missing[:2]) == ("weights only", "epoch", "optimizer")


@pytest.mark.parametrize(
    "change", [{"config": 5}, {"config": {"epochs": "x"}}, {"environment": {}}, {"measured": {"loss": "x"}}]
)
def test_foreign_settings_make_no_resume_exact(
    exported: dict[str, Path], tmp_path: Path, change: dict[str, Any]
) -> None:
    content = torch.load(exported["checkpoint"], weights_only=True)
    found = inspected(tmp_path, {**content, **change})
    assert (found.refusal, found.verdict) == (None, "approximate")


def test_tree_shows_keys_as_they_are_and_cuts_long_texts_and_lists(exported: dict[str, Path], tmp_path: Path) -> None:
    tree = inspect(exported["checkpoint"]).tree
    assert (tree["epoch"], tree["config"]["optimizer"]) == (0, "adamw")
    assert tree["model_state_dict"]["linear_relu_stack.4.bias"] == "float32 (10,)"
    assert tree["optimizer_state_dict"]["param_groups"][0]["betas"] == [0.9, 0.999]
    tree = inspected(tmp_path, {"text": "x" * 10_000, "list": list(range(10_000)), "bytes": b"y" * 10_000}).tree
    assert len(tree["text"]) == 201
    assert tree["list"][-1] == "… 9,600 more"
    assert len(tree["bytes"]) <= 201


def test_file_without_weights_is_described_and_refused(tmp_path: Path) -> None:
    found = inspected(tmp_path, {"epoch": 3, "history": [torch.zeros(2)]})
    assert (found.format, found.model, found.parameters, found.epoch) == ("unknown", None, None, 3)
    assert found.refusal == "The file is refused: it holds no state_dict and no model; save the model's state_dict."
    assert [tensor.name for tensor in found.tensors] == ["history.0"]


def figures(tmp_path: Path, values: Tensor) -> Any:
    return inspected(tmp_path, {"x": values}).tensors[0]


def test_figures_are_those_of_the_numbers(tmp_path: Path) -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    found = figures(tmp_path, values)
    assert (found.nan, found.inf, sum(found.histogram)) == (0, 0, 1000)
    assert (found.low, found.high) == (values.min().item(), values.max().item())
    assert found.mean == pytest.approx(values.double().mean().item(), rel=1e-9)
    assert found.std == pytest.approx(values.double().std(correction=0).item(), rel=1e-9)
    counts, _ = np.histogram(values.double().numpy(), len(found.histogram))
    assert list(found.histogram) == counts.tolist()


def test_nan_and_inf_are_counted_and_left_out_of_the_figures(tmp_path: Path) -> None:
    found = figures(tmp_path, torch.tensor([1.0, math.nan, 3.0, math.inf, -math.inf, math.nan]))
    assert (found.nan, found.inf, found.low, found.high, found.mean) == (2, 2, 1.0, 3.0, 2.0)
    assert sum(found.histogram) == 2


EXTREMES = {
    "nothing but nan": torch.full((3,), math.nan),
    "one value": torch.ones(5),
    "the widest range": torch.tensor([torch.finfo(torch.float32).min, torch.finfo(torch.float32).max]),
    "the widest range of float64": torch.tensor([-1.7e308, 1.7e308, 1.0], dtype=torch.float64),
    "neighbours": torch.tensor([1e8, 1e8 + 8]),
    "neighbours of float64": torch.tensor([1.0, 1.0 + 2**-52], dtype=torch.float64),
    "the smallest numbers": torch.tensor([0.0, 1e-45, 2e-45]),
    "the smallest numbers of float64": torch.tensor([0.0, 5e-324], dtype=torch.float64),
    "large whole numbers": torch.tensor([-(2**63), 2**63 - 1, 2**53 + 1]),
    "truths": torch.tensor([True, False, True]),
    "bytes": torch.arange(256).to(torch.uint8),
    "bfloat16": torch.tensor([1.0, -2.0, math.inf], dtype=torch.bfloat16),
    "float16": torch.tensor([6e4, -6e4], dtype=torch.float16),
    "nothing": torch.empty(0),
    "a single number": torch.tensor(3.0),
    "several pieces": torch.linspace(0, 1, 700_001),
    "transposed": torch.arange(12.0).view(3, 4).T,
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.filterwarnings("error")
def test_figures_of_extreme_numbers_are_finite_or_none(tmp_path: Path, name: str) -> None:
    values = EXTREMES[name]
    found = figures(tmp_path, values)
    json.dumps(asdict(found), allow_nan=False)
    finite = int(values.isfinite().sum())
    assert sum(found.histogram or ()) == finite
    if finite:
        assert found.low <= found.high


def test_numbers_of_a_changed_file_are_not_believed(exported: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(exported["weights"].read_bytes())
    data[read_saved_file(exported["weights"]).places["0"] + 1000] ^= 1
    (tmp_path / "file").write_bytes(data)
    found = inspect(tmp_path / "file")
    assert found.refusal == (
        "The file is refused: the checksum of its member archive/data/0 differs: it was changed, damaged or never "
        "written."
    )
    assert found.verdict == "damaged"


def test_strange_numbers_are_json_too(tmp_path: Path) -> None:
    content = {"loss": math.nan, "epoch": 10**400, "x": [math.inf, 2**500, b"\xff"], "lr": {1: -math.inf}}
    found = inspected(tmp_path, content)
    assert (found.loss, found.epoch) == (None, None)
    json.dumps(asdict(found), allow_nan=False)


def test_torch_is_not_imported(exported: dict[str, Path]) -> None:
    paths = [str(path) for path in exported.values()]
    done = python(
        "import sys\nfrom pathlib import Path\nfrom fashion_core.formats.inspect import inspect\n"
        f"for path in {paths!r}:\n    assert inspect(Path(path)).model == 'mlp'\n"
        "assert 'torch' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


@pytest.mark.parametrize("words", ["\x1b[2Jone\ntwo", "\u202eesrever", "half \ud800", "\x00"])
def test_texts_of_the_file_drive_no_terminal(tmp_path: Path, words: str) -> None:
    inner = mapping({words: text(words) + text(words) + b"\x93"})
    value = mapping({"state_dict": mapping({words: tensor(storage(key="0", numel=b"K\x02"), shape=b"K\x02\x85")})})
    speaking = whole(value[:-1] + text(words) + inner + b"u")
    (tmp_path / "file").write_bytes(repickled(saved({"x": torch.zeros(2)}), lambda _: speaking))
    found = asdict(inspect(tmp_path / "file"))
    assert all(shown.isprintable() for shown in texts_in(found))
    assert sum("�" in shown for shown in texts_in(found)) >= 5


def bytes_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system counts no bytes that are read")
@pytest.mark.parametrize("size", [180_000_000, pytest.param(500_000_000, marks=pytest.mark.slow)])
def test_numbers_of_a_large_checkpoint_are_read_when_they_are_asked_for_alone(tmp_path: Path, size: int) -> None:
    path = tmp_path / "checkpoint"
    large_checkpoint(path, size)
    assert path.stat().st_size > NUMBERS_READ_BYTES
    before = bytes_read()
    found = inspect(path)
    between = bytes_read()
    assert inspect(path, numbers=True).sha256 is not None
    assert between - before < 1_000_000 < path.stat().st_size < bytes_read() - between
    assert (found.sha256, found.tensors[0].histogram, found.refusal, found.model) == (None, None, None, "mlp")
    assert found.optimizer is not None


def class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODEL_CLASSES)
def test_blueprint_is_what_torch_pickles(name: str, shape: Shape, tmp_path: Path) -> None:
    model = build_model(name, 0, shape)
    assert blueprint(name, shape) == pickled_layers(model, tmp_path)
    assert list(sizes_of(name, shape).items()) == [(key, tuple(one.shape)) for key, one in model.state_dict().items()]
    assert list(learned_in(name, shape)) == [key for key, _ in model.named_parameters()]


def test_blueprints_are_written_down_as_torch_pickles_them_now() -> None:
    assert blueprints.current() == blueprints.written(), "run python -m tests.support.blueprints"


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="can't be used: it or its folder does not exist"):
        inspect(tmp_path / "missing")
    with pytest.raises(DiskError):
        inspect(tmp_path)


def test_header_of_safetensors_may_begin_with_any_byte(tmp_path: Path) -> None:
    """A header of 0x180 bytes begins as a pickle does."""
    state = build_model("mlp", seed=0).state_dict()
    first_bytes = set()
    for length in range(0, 300, 4):
        data = safetensors.torch.save(state, {"note": "x" * length})
        first_bytes.add(data[0])
        (tmp_path / "file").write_bytes(data)
        assert inspect(tmp_path / "file", numbers=False).model == "mlp"
    assert 0x80 in first_bytes
