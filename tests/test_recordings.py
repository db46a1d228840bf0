"""Training steps as recordings on the CPU: the bits of the same steps without one."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import After, config, never, new_run, train
from torch import Tensor, nn

from fashion_core.errors import DeviceError
from fashion_core.loops import TrainStep
from fashion_core.models import NeuralNetwork, build_model
from fashion_core.optimizers import make_optimizer
from fashion_core.recordings import RecordedStep
from fashion_core.run_folders import Run
from fashion_core.runs import RunStore
from fashion_core.training import Training

CPU, BATCH = torch.device("cpu"), 64
BF16 = {"precision": "bf16"}
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum, raw pixels": {"momentum": 0.9, "weight_decay": 0.01, "pixels": "raw", "learning_rate": 1e-5},
    "adam, cosine": {"optimizer": "adam", "schedule": "cosine"},
    "bf16": BF16,
    "cnn, adamw, cosine": {"model": "cnn", "optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine"},
    "cnn, bf16": {"model": "cnn", "momentum": 0.9, **BF16},
    "resnet18": {"model": "resnet18", "momentum": 0.9},
}
SLOW = {"resnet18"}
all_settings = pytest.mark.parametrize(
    "settings",
    [pytest.param(each, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, each in SETTINGS.items()],
)


def short_run(store: RunStore, **changes: Any) -> Run:
    """An epoch of three full batches and a smaller one."""
    return new_run(store, train_images=200, epochs=1, batch_size=BATCH, **changes)


def end_of(run: Run, way: Callable[[TrainStep], Any] | None = None) -> list[Tensor]:
    """All that the last checkpoint holds."""
    with run.writing():
        training = Training(run, never)
        if way:
            step = TrainStep(training.model, nn.CrossEntropyLoss(), training.optimizer, training._autocast())
            training.train_step = way(step)
        training.to_the_end()
    last = torch.load(run.checkpoint_path(0), weights_only=True)
    state = [value for values in last["optimizer_state_dict"]["state"].values() for value in values.values()]
    return [*last["model_state_dict"].values(), *state, torch.tensor([last["loss"], last["measured"]["train_loss"]])]


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(map(torch.equal, some, others))


@all_settings
def test_replays_give_the_bits_of_the_steps(store: RunStore, settings: dict[str, Any]) -> None:
    step_by_step = end_of(short_run(store, **settings), way=lambda step: step)
    assert same(end_of(short_run(store, **settings)), step_by_step)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["momentum, raw pixels", "cnn, adamw, cosine"])
def test_stopped_before_any_batch_and_continued_ends_in_the_same_bits(store: RunStore, name: str) -> None:
    straight = end_of(short_run(store, **SETTINGS[name]))
    for stop_at in range(2, 5):
        run = short_run(store, **SETTINGS[name])
        assert train(run, After(stop_at)) == "stopped"
        assert same(end_of(run), straight), f"stopped when asked for the {stop_at}th time"


def test_steps_on_the_cpu_are_recorded(store: RunStore) -> None:
    assert isinstance(Training(short_run(store), never).train_step, RecordedStep)


def recorded(model: nn.Module) -> RecordedStep:
    return RecordedStep(TrainStep(model, nn.CrossEntropyLoss(), make_optimizer(config(), model)), BATCH, CPU)


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(BATCH, 1, 28, 28), torch.randint(10, (BATCH,))


class WithNumber(NeuralNetwork):
    """Reads a number from a tensor, which another batch would change."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * float(x.sum() > 0)


class WithTensor(NeuralNetwork):
    """Computes with a tensor that is no buffer of it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.from_numpy(torch.ones(1).numpy())


@pytest.mark.parametrize(("model", "cause"), [(WithNumber, "needs a bool from"), (WithTensor, "that no operator made")])
def test_model_that_no_recording_can_repeat_is_told_and_stays_as_it_is(model: type[nn.Module], cause: str) -> None:
    step = recorded(model())
    before = [parameter.clone() for parameter in step._step.model.parameters()]
    with pytest.raises(DeviceError, match=f"{model.__name__} can't be recorded: .*{cause}"):
        step(*batch())
    assert same(list(step._step.model.parameters()), before)


def test_gradients_are_not_copied() -> None:
    """Whoever held one while autograd hands it to its parameter would make it a copy, in each replay."""
    step = recorded(build_model("mlp", seed=0))
    step(*batch())
    assert "aten::copy_" not in str(step._replay._function.graph)  # type: ignore[union-attr]


def test_recording_does_not_load_the_compiler() -> None:
    """It would take longer than the first epoch."""
    code = (
        "import sys; from test_recordings import recorded, batch, build_model;"
        "recorded(build_model('cnn', 0))(*batch()); sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd="tests", env={"PYTHONPATH": ".:.."}, check=True, timeout=100)
