"""Training steps as recordings on the CPU: the bits of the same steps without one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_core.models import NeuralNetwork
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.training.captured_step import TorchScriptStep
from fashion_core.training.trainer import Trainer
from tests.support.processes import python
from tests.support.runs import After, config, never, new_run, train
from tests.support.steps import BATCH, CPU, batch, end_of, new_step, numbers, same, step_by_step, step_of

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
    """Two epochs of two full batches and a smaller one, on as many threads as people train with."""
    return new_run(store, train_images=150, epochs=2, batch_size=BATCH, threads=2, **changes)


@all_settings
def test_replays_give_the_bits_of_the_steps(
    store: RunStore, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert same(end_of(short_run(store, **settings)), end_of(short_run(store, **settings), way=step_by_step))
    assert caplog.messages == []  # which would tell of steps that are no replays


@pytest.mark.slow
@pytest.mark.parametrize("name", ["momentum, raw pixels", "cnn, adamw, cosine"])
def test_stopped_before_any_batch_and_continued_ends_in_the_same_bits(store: RunStore, name: str) -> None:
    straight = end_of(short_run(store, **SETTINGS[name]))
    for stop_at in range(2, 7):
        run = short_run(store, **SETTINGS[name])
        assert train(run, After(stop_at)) == "stopped"
        assert same(end_of(run), straight), f"stopped when asked for the {stop_at}th time"


def test_steps_on_the_cpu_are_recorded(store: RunStore) -> None:
    assert isinstance(Trainer(short_run(store), never).train_step, TorchScriptStep)


class ByNumber(NeuralNetwork):
    """Goes by a number of its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 + float(x.mean()))


class ByCount(NeuralNetwork):
    """Goes by how many pixels of its batch are bright."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 + x[x > 0.3].numel() / x.numel())


class OutsideTorch(NeuralNetwork):
    """Goes by a number that torch does not see it read."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * float(1 + x.detach().numpy().max())


class InParts(NeuralNetwork):
    """Takes a list of tensors from an operator."""

    def forward(self, x: Tensor) -> Tensor:
        one, other = super().forward(x).chunk(2, dim=1)
        return torch.cat([other, one], dim=1)


class ByGradient(NeuralNetwork):
    """Goes by a number of its gradient, once some parameters have theirs."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear_relu_stack[:3](self.flatten(x))
        hidden.register_hook(lambda gradient: gradient * (1 + float(gradient.max())))
        logits: Tensor = self.linear_relu_stack[3:](hidden)
        return logits


class ByOrder(NeuralNetwork):
    """Goes by the order of its batch."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits + logits[x.flatten(1).sum(1).argsort()]


class WithTensor(NeuralNetwork):
    """Computes with a tensor that is no buffer of it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.tensor(2.0)


class WithMean(NeuralNetwork):
    """Has another buffer after each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = torch.add(self.mean, x.mean())
        return torch.add(super().forward(x), self.mean)


class InPlace(NeuralNetwork):
    """Changes its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.last = nn.LSTM(28, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.rows(x.squeeze(1))[0][:, -1])
        return logits


NO_TENSOR = "one of its operators gives a {}, not a tensor."
OTHER_NUMBERS = "a recording of it gives other numbers for another batch."
SHAPE = "the shape of what aten::index gives goes by the numbers of its batch."
WHY_BY_ITSELF: dict[type[nn.Module], str | None] = {
    ByNumber: NO_TENSOR.format("float"),
    ByGradient: NO_TENSOR.format("float"),
    InParts: NO_TENSOR.format("list"),
    ByCount: SHAPE,
    ByOrder: SHAPE,
    OutsideTorch: OTHER_NUMBERS,
    WithMean: OTHER_NUMBERS,
    WithTensor: "it uses a tensor that no operator made of its batch, parameters and buffers.",
    Recurrent: "TorchScript does not take one of its operators.",
    InPlace: None,
}


@pytest.mark.parametrize(("kind", "why"), WHY_BY_ITSELF.items())
def test_any_model_is_trained_as_without_a_recording(
    kind: type[nn.Module], why: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """And where its steps are no replays, the log tells why."""
    torch.manual_seed(0)
    plain, inside = step_of(kind(), config()), step_of(kind(), config())
    inside.model.load_state_dict(plain.model.state_dict())
    recorded = TorchScriptStep(inside, BATCH, CPU)
    for seed in range(4):
        assert torch.equal(recorded(*batch(seed=seed)), plain(*batch(seed=seed)))
    assert same(numbers(inside), numbers(plain))
    assert caplog.messages == ([f"Each step of {kind.__name__} is computed by itself: {why}"] if why else [])


def test_gradients_are_not_copied() -> None:
    """Whoever held one while autograd hands it to its parameter would make it a copy, in each replay."""
    step = TorchScriptStep(new_step(), BATCH, CPU)
    step(*batch())
    assert "aten::copy_" not in str(step._replay.function.graph)  # type: ignore[union-attr]


def test_recording_does_not_load_the_compiler() -> None:
    """It would take longer than the first epoch."""
    done = python(
        "import sys; from tests.training.test_recordings import *\n"
        "TorchScriptStep(new_step(model='cnn'), BATCH, CPU)(*batch())\n"
        "sys.exit('torch._dynamo' in sys.modules)",
    )
    assert done.returncode == 0, done.stderr
