"""Files go both ways between this app and anyone's plain PyTorch, to the last bit of every output."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_core.errors import RefusedFileError
from fashion_core.formats import export, save
from fashion_core.formats.import_file import import_file
from fashion_core.formats.inspect import inspect
from fashion_core.formats.load import load
from fashion_core.models import build_model
from fashion_core.resume import lesson
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES
from fashion_core.runs.store import RunStore
from tests.hostile.building import four_keys, repickled, saved
from tests.hostile.opcodes import text
from tests.support.exact import one_thread
from tests.support.processes import ROOT
from tests.support.runs import trained

TUTORIAL = """
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
torch.manual_seed(0)
images = torch.rand(64, 1, 28, 28)
train_dataloader = DataLoader(TensorDataset(torch.rand(256, 1, 28, 28), torch.randint(10, (256,))), batch_size=64)
test_dataloader = DataLoader(TensorDataset(torch.rand(64, 1, 28, 28), torch.randint(10, (64,))), batch_size=64)


class NeuralNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(28*28, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )

    def forward(self, x):
        return self.linear_relu_stack(self.flatten(x))


def train_loop(dataloader, model, loss_fn, optimizer):
    model.train()
    for batch, (X, y) in enumerate(dataloader):
        pred = model(X)
        loss = loss_fn(pred, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_loop(dataloader, model, loss_fn):
    model.eval()
    test_loss = 0
    with torch.no_grad():
        for X, y in dataloader:
            test_loss += loss_fn(model(X), y).item()
    return test_loss / len(dataloader)


def logits_of(model):
    model.eval()
    with torch.no_grad():
        return model(images)

"""
"""The lesson before the one about saving, with random images."""

# The code that the Lesson page shows, in its parts.
SAVE_WEIGHTS, LOAD_WEIGHTS = lesson.WEIGHTS.code.split("\n\n")
SAVE_MODEL, _, _ = lesson.MODEL.code.partition("\n")
LOAD_CHECKPOINT, GO_ON = lesson.RESUME.code.rsplit("\n\n", 1)
LOAD_MODEL = "model = torch.load('model.pth', weights_only=False)"

SAVING = f"""{TUTORIAL}
model = NeuralNetwork()
os.makedirs("model_save", exist_ok=True)
{lesson.TRAIN.code}
{SAVE_WEIGHTS}
{SAVE_MODEL}
first = NeuralNetwork()
first.load_state_dict(torch.load(os.path.join("model_save", "0"))["model_state_dict"])
torch.save({{"images": images, "last": logits_of(model), "first": logits_of(first), "loss": loss}}, "outputs")
"""


def script(code: str, folder: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(autouse=True)
def as_scripts_compute() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    script(SAVING, folder)
    return folder


@pytest.fixture(scope="module")
def ours(module_store: RunStore) -> Run:
    return trained(module_store, epochs=2)


IMAGES = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def logits_of(model: nn.Module, images: Tensor = IMAGES) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model.eval()(images)
    return logits


FILES = {"model_weights.pth": "last", "model.pth": "last", "model_save/1": "last", "model_save/0": "first"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_lessons_file_gives_the_same_outputs_as_it_is_and_as_a_run(store: RunStore, theirs: Path, name: str) -> None:
    outputs = torch.load(theirs / "outputs")
    run = import_file(store, theirs / name, name, {})
    (epoch,) = run.epochs_saved()
    model = build_model(run.record.config.model, seed=0)
    model.load_state_dict(save.load_checkpoint(run.checkpoint_path(epoch))["model_state_dict"])
    for found in (load(theirs / name).model, model):
        assert torch.equal(logits_of(found, outputs["images"]), outputs[FILES[name]])
    json.dumps(inspect(theirs / name).tree, allow_nan=False)


def test_checkpoint_of_the_lesson_keeps_epoch_loss_and_optimizer_and_a_model_its_class(theirs: Path) -> None:
    found = inspect(theirs / "model.pth")
    assert (found.format, found.model, found.model_class) == ("model", "mlp", "__main__.NeuralNetwork")
    assert found.refusal is None
    loaded = load(theirs / "model_save" / "1")
    assert (loaded.format, loaded.epoch, loaded.loss) == ("checkpoint", 1, torch.load(theirs / "outputs")["loss"])
    expected = torch.load(theirs / "model_save" / "1")["optimizer_state_dict"]
    assert loaded.optimizer_state == expected


THEIR_LOADING = {
    "the lesson, weights": LOAD_WEIGHTS,
    "the lesson, whole model": LOAD_MODEL,
    "the lesson, checkpoint": LOAD_CHECKPOINT,
    "export, weights": LOAD_WEIGHTS.replace("'model", "'exports/model"),
    "export, model": LOAD_MODEL.replace("'model", "'exports/model"),
    "export, checkpoint": LOAD_CHECKPOINT.replace('os.path.join("model_save",str(0))', '"exports/checkpoint.pth"'),
    "export, safetensors": "from safetensors.torch import load_file\n"
    "model = NeuralNetwork()\nmodel.load_state_dict(load_file('exports/model.safetensors'))",
    "export, pt2": "model = torch.export.load('exports/model.pt2').module()\nmodel.eval = lambda: None",
}


@pytest.fixture(scope="module")
def theirs_with_ours(ours: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What plain PyTorch computes with each file of ours in a folder of their own: logits, and two losses."""
    folder = tmp_path_factory.mktemp("ours")
    (folder / "model_save").mkdir()
    (folder / "exports").mkdir()
    for path in (ours.weights_path, ours.model_path, ours.checkpoint_path(0)):
        (folder / path.relative_to(ours.path)).write_bytes(path.read_bytes())
    for format, name in EXPORT_NAMES.items():
        export.export(ours, 0, format, folder / "exports" / name)
    torch.save(IMAGES, folder / "images")
    loading = "".join(f"{code}\nfound[{name!r}] = logits_of(model)\n" for name, code in THEIR_LOADING.items())
    code = f"{TUTORIAL}\nimages, found = torch.load('images'), {{}}\n{loading}\n{LOAD_CHECKPOINT}\n{GO_ON}"
    saving = "found |= {'loss_last': loss_last, 'loss_now': loss_now}\ntorch.save(found, 'found')"
    script(f"{code}\n{saving}", folder)
    found: dict[str, Any] = torch.load(folder / "found")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("way", THEIR_LOADING)
def test_plain_pytorch_computes_the_same_with_our_file(ours: Run, theirs_with_ours: dict[str, Any], way: str) -> None:
    epoch = 1 if way in ("the lesson, weights", "the lesson, whole model") else 0
    assert torch.equal(theirs_with_ours[way], logits_of(load(ours.checkpoint_path(epoch)).model))


def test_lessons_code_goes_on_from_our_checkpoint(ours: Run, theirs_with_ours: dict[str, Any]) -> None:
    assert theirs_with_ours["loss_last"] == load(ours.checkpoint_path(0)).loss
    assert theirs_with_ours["loss_now"] > 0


@pytest.mark.parametrize("name", ["mlp", "cnn", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_program_computes_the_same_bits_for_any_number_of_images(name: str) -> None:
    model = build_model(name, seed=2).eval()
    program = torch.export.load(io.BytesIO(export.as_program(model, {}))).module()
    generator = torch.Generator().manual_seed(0)
    for images in (torch.rand(count, 1, 28, 28, generator=generator) for count in (1, 7, 256)):
        with torch.inference_mode():
            assert (program(images) - model(images)).abs().max().item() == 0


def mlp() -> nn.Module:
    return build_model("mlp", seed=7)


def cnn() -> nn.Module:
    """With statistics of batch norm that are not those of a fresh one."""
    model = build_model("cnn", seed=7).train()
    model(IMAGES)
    return model.eval()


def full_checkpoint(model: nn.Module) -> dict[str, Any]:
    return {**four_keys(model, torch.optim.Adam(model.parameters())), "epoch": 3, "loss": torch.tensor(0.5)}


def lightning(model: nn.Module) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 4,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed("model.", model),
        "loops": {"fit_loop": {"state_dict": {}}},
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 0.001},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_path": "/home/x/a.ckpt"}},
        "optimizer_states": [full_checkpoint(model)["optimizer_state_dict"]],
    }


def scheduler_state(model: nn.Module) -> dict[str, Any]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state: dict[str, Any] = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5]).state_dict()
    return state


def prefixed(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}


def one_storage(model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict()
    flat = torch.cat([tensor.flatten() for tensor in state.values()])
    pieces = torch.split(flat, [tensor.numel() for tensor in state.values()])
    return {name: piece.view_as(tensor) for (name, tensor), piece in zip(state.items(), pieces, strict=True)}


FORMS: dict[str, Callable[[nn.Module], bytes]] = {
    "weights before torch 1.6": lambda model: saved(model.state_dict(), _use_new_zipfile_serialization=False),
    "model before torch 1.6": lambda model: saved(model, _use_new_zipfile_serialization=False),
    "checkpoint before torch 1.6": lambda model: saved(full_checkpoint(model), _use_new_zipfile_serialization=False),
    "DataParallel": lambda model: saved(prefixed("module.", model)),
    "torch.compile": lambda model: saved(prefixed("_orig_mod.", model)),
    "torch.compile of DataParallel": lambda model: saved(prefixed("_orig_mod.module.", model)),
    "Lightning": lambda model: saved(lightning(model)),
    "under state_dict": lambda model: saved({"state_dict": model.state_dict(), "arch": "mlp"}),
    "under model": lambda model: saved({"model": model.state_dict()}),
    "a whole model under model": lambda model: saved({"model": model, "epoch": 3}),
    "parameters instead of tensors": lambda model: saved({**model.state_dict(), **dict(model.named_parameters())}),
    "a plain dict": lambda model: saved(dict(model.state_dict())),
    "protocol 4": lambda model: saved(model.state_dict(), pickle_protocol=4),
    "protocol 5": lambda model: saved(model, pickle_protocol=5),
    "tensors of a GPU": lambda model: repickled(
        saved(model.state_dict()), lambda old: old.replace(text("cpu"), text("cuda:0"))
    ),
    "milestones of a scheduler": lambda model: saved({**full_checkpoint(model), "scheduler": scheduler_state(model)}),
    "a model in training": lambda model: saved(model.train()),
    "a model without gradients": lambda model: saved(model.requires_grad_(False)),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_of_a_file_gives_the_same_outputs(tmp_path: Path, form: str) -> None:
    path, model = tmp_path / "file", cnn()
    path.write_bytes(FORMS[form](model))
    expected = logits_of(model)
    assert torch.equal(logits_of(load(path).model), expected)
    assert inspect(path).refusal is None


def channels_last() -> dict[str, Tensor]:
    name, state = "features.4.weight", cnn().state_dict()
    return {**state, name: state[name].contiguous(memory_format=torch.channels_last)}


def narrow(dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: t.to(dtype) if t.is_floating_point() else t for name, t in cnn().state_dict().items()}


STATES: dict[str, Callable[[], dict[str, Tensor]]] = {
    "views of one storage": lambda: one_storage(mlp()),
    "channels last": channels_last,
    "float16": lambda: narrow(torch.float16),
    "bfloat16": lambda: narrow(torch.bfloat16),
}


@pytest.mark.parametrize("name", STATES)
def test_tensors_in_any_layout_and_narrow_ones_give_the_same_numbers(tmp_path: Path, name: str) -> None:
    state = STATES[name]()
    torch.save(state, tmp_path / "file")
    back = load(tmp_path / "file").model.state_dict()
    assert all(torch.equal(back[key], tensor.to(back[key].dtype)) for key, tensor in state.items())


def test_epoch_and_optimizer_of_lightning_are_loaded_and_one_that_names_its_parameters(tmp_path: Path) -> None:
    torch.save(lightning(mlp()), tmp_path / "file.ckpt")
    loaded = load(tmp_path / "file.ckpt")
    assert (loaded.format, loaded.epoch) == ("lightning", 3)
    assert loaded.optimizer_state is not None
    assert len(loaded.optimizer_state["state"]) == 6
    named = torch.optim.SGD((model := mlp()).named_parameters(), lr=0.1).state_dict()
    torch.save({**full_checkpoint(model), "optimizer_state_dict": named}, tmp_path / "file")
    assert load(tmp_path / "file").optimizer_state == named


def test_whole_resnet18_is_loaded(tmp_path: Path) -> None:
    model = build_model("resnet18", seed=1)
    torch.save(model, tmp_path / "file")
    back = load(tmp_path / "file").model.state_dict()
    assert all(torch.equal(back[key], tensor) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"epochs": "many"}, "environment": {}, "measured": {"accuracy": "high"}},
        {"environment": {"python": "3", "torch": "2", "device": "cpu", "threads": -3}},
        {"environment": {"python": "3", "torch": "\x1b]0;x", "device": "cpu", "threads": 1}},
    ],
)
def test_settings_of_no_sense_do_not_stop_an_import(store: RunStore, tmp_path: Path, changes: dict[str, Any]) -> None:
    beside = {"run": "x", "config": {}, "environment": {}, "measured": {}, **changes}
    torch.save({**full_checkpoint(mlp()), **beside}, tmp_path / "file")
    run = import_file(store, tmp_path / "file", "file", {})
    assert (run.epochs_saved(), run.record.config.optimizer) == ([3], "adam")
    assert set(save.load_checkpoint(run.checkpoint_path(3))) == save.CHECKPOINT_KEYS


def refusal(content: Any, path: Path) -> str:
    torch.save(content, path)
    with pytest.raises(RefusedFileError) as caught:
        load(path)
    assert inspect(path).refusal == str(caught.value)
    return str(caught.value)


def test_other_layers_are_shown_and_the_refusal_says_how_they_differ(tmp_path: Path) -> None:
    path = tmp_path / "file"
    state = mlp().state_dict()
    del state["linear_relu_stack.2.bias"]
    state["linear_relu_stack.4.weight"] = torch.zeros(12, 512)
    state["head.weight"] = torch.zeros(2, 3)
    said = refusal(state, path)
    assert "its layers are not those of mlp" in said
    found = inspect(path)
    assert found.differences == (
        "linear_relu_stack.2.bias is missing",
        "head.weight is not in mlp",
        "linear_relu_stack.4.weight is 12×512 where mlp has 10×512",
    )
    assert [(t.name, t.shape) for t in found.tensors if t.name == "head.weight"] == [("head.weight", (2, 3))]
    assert all(difference in said for difference in found.differences)
    none = "its layers are those of none of mlp, cnn and resnet18: it has 1.weight 10×784 and 1.bias 10"
    assert none in refusal(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), path)
    assert [t.shape for t in inspect(path).tensors] == [(10, 784), (10,)]


def test_what_this_app_can_not_use_is_refused(tmp_path: Path) -> None:
    path, model, resnet = tmp_path / "file", mlp(), build_model("resnet18", seed=0)
    vars(resnet.get_submodule("layer2.1"))["stride"] = 2
    assert "layer2.1.stride is not 1" in refusal(resnet, path)
    widest = "linear_relu_stack.0.weight is float64, which can't become float32 without losing digits; convert it"
    assert widest in refusal(model.double().state_dict(), path)
