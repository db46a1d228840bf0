"""A step captured on the CPU or a GPU gives the bits of the same step without a capture, which leaves no trace."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_core import devices
from fashion_core.errors import DeviceError
from fashion_core.loops import restore_optimizer
from fashion_core.models import NeuralNetwork, build_model
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.training.captured_step import (
    CapturedStep,
    CUDAGraphStep,
    TorchScriptStep,
    override_options,
    preserve_state,
)
from fashion_core.training.trainer import Trainer
from tests.support.processes import python
from tests.support.runs import FEW, After, config, never, new_run, train
from tests.support.steps import BATCH, CPU, SETTINGS, batch, end_of, new_step, numbers, same, step_by_step, step_of

Log = pytest.LogCaptureFixture
all_settings = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
both_ways = pytest.mark.parametrize("way", [CUDAGraphStep, TorchScriptStep])
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@all_settings
@pytest.mark.parametrize("steps_before", [0, 2])
def test_warm_up_leaves_no_trace(settings: dict[str, Any], steps_before: int) -> None:
    """Dropout draws the same, batch norm has seen the same, and an optimizer's first step is its first step."""
    plain, warmed = new_step(**settings), new_step(**settings)
    for step in (plain, warmed):
        torch.manual_seed(3)
        for _ in range(steps_before):
            step(*batch())
        if step is warmed:
            before = numbers(step)
            with preserve_state(step, CPU):
                step(*batch())
                assert not same(numbers(step), before)
        step(*batch())
        step(*batch())
    assert same(numbers(warmed), numbers(plain))


def test_warm_up_is_undone_in_the_tensors_that_a_replay_will_use() -> None:
    step = new_step(momentum=0.9)
    with preserve_state(step, CPU):
        step(*batch())
        used = [values["momentum_buffer"].data_ptr() for values in step.optimizer.state.values()]
    step(*batch())
    assert used == [values["momentum_buffer"].data_ptr() for values in step.optimizer.state.values()]


@all_settings
@both_ways
def test_learning_rate_in_a_tensor_is_the_same_number(settings: dict[str, Any], way: type[CapturedStep]) -> None:
    in_tensor, as_number = new_step(**settings), new_step(**settings)
    rate = torch.tensor(0.001 / 3, dtype=way.rate_dtype)
    for step, passed in ((in_tensor, rate), (as_number, rate.item())):
        torch.manual_seed(3)
        with override_options(step.optimizer, lr=passed):
            step(*batch())
    assert same(numbers(in_tensor), numbers(as_number))


@all_settings
def test_what_is_saved_of_an_optimizer_never_tells_of_a_capture(settings: dict[str, Any]) -> None:
    step = new_step(**settings)
    before = step.optimizer.state_dict()["param_groups"]
    with pytest.raises(KeyError), override_options(step.optimizer, lr=torch.tensor(0.1), capturable=True):
        raise KeyError
    assert step.optimizer.state_dict()["param_groups"] == before
    assert isinstance(before[0]["lr"], float)


@both_ways
def test_smaller_batch_is_the_step_itself(way: type[CapturedStep]) -> None:
    replayed, plain = new_step(), new_step()
    loss = way(replayed, BATCH, CPU)(*batch(BATCH - 1))
    assert torch.equal(loss, plain(*batch(BATCH - 1)))
    assert same(numbers(replayed), numbers(plain))


FROZEN = "cnn, frozen"
RUNS: dict[str, dict[str, Any]] = {
    **SETTINGS,
    "bf16": {"precision": "bf16"},
    "cnn, bf16": {"model": "cnn", "momentum": 0.9, "precision": "bf16"},
    "cnn, adamw, cosine, bf16": {**SETTINGS["cnn, adamw, cosine"], "precision": "bf16"},
    "resnet18": {"model": "resnet18", "momentum": 0.9},
    FROZEN: {"model": "cnn", "momentum": 0.9, "precision": "bf16", "weight_decay": 0.1},
}
SLOW = {"adam, cosine", "bf16", "cnn, adamw, cosine", "cnn, bf16", "cnn, adamw, cosine, bf16", "resnet18", FROZEN}


SMALLER = {"cnn": 16, "resnet18": 8}
"""Batches on the CPU, where convolutions take long."""


def short_run(store: RunStore, device: str, name: str, threads: int = 2) -> Run:
    """Two epochs of two full batches, on a GPU four, and a smaller one."""
    chosen, on_cpu = RUNS[name], device == "cpu"
    size = SMALLER.get(chosen.get("model", ""), BATCH) if on_cpu else BATCH
    images = (2 if on_cpu else 4) * size + size // 2
    run = new_run(store, device=device, train_images=images, epochs=2, batch_size=size, threads=threads, **chosen)
    if name == FROZEN:
        features = tuple(name for name in build_model("cnn", 0).state_dict() if name.startswith("features."))
        run.write_record(run.record.model_copy(update={"frozen": features}))
    return run


@pytest.mark.parametrize(
    ("device", "name"),
    [pytest.param("cpu", name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RUNS]
    + [pytest.param("cuda:0", name, marks=needs_gpu) for name in RUNS],
)
def test_replays_give_the_bits_of_the_steps(store: RunStore, device: str, name: str, caplog: Log) -> None:
    threads = 1 if name == "resnet18" else 2  # those of its many small steps would wait for each other
    straight = end_of(short_run(store, device, name, threads))
    assert same(straight, end_of(short_run(store, device, name, threads), way=step_by_step))
    assert caplog.messages == []  # which would tell of steps that are no replays


@pytest.mark.parametrize(
    ("device", "name"),
    [pytest.param("cpu", name, marks=pytest.mark.slow) for name in ("momentum, raw pixels", "cnn, adamw, cosine")]
    + [pytest.param("cuda:0", name, marks=needs_gpu) for name in RUNS],
)
def test_stopped_before_any_batch_and_continued_ends_in_the_same_bits(store: RunStore, device: str, name: str) -> None:
    """Also before the smaller batch, which no capture has preceded then."""
    run = short_run(store, device, name, threads=1)
    asked, straight = 2 * run.record.config.batches_per_epoch, end_of(run)
    for stop_at in range(2, asked + 1):
        run = short_run(store, device, name, threads=1)
        assert train(run, After(stop_at), FEW) == "stopped"
        assert same(end_of(run), straight), f"stopped when asked for the {stop_at}th time"


@needs_gpu
def test_optimizer_goes_from_a_gpu_to_a_cpu_and_back(store: RunStore) -> None:
    run = short_run(store, "cuda:0", "adam, cosine")
    end_of(run)
    saved = torch.load(run.checkpoint_path(1), weights_only=True)["optimizer_state_dict"]
    assert isinstance(saved["param_groups"][0]["lr"], float)
    assert not saved["param_groups"][0]["capturable"]
    here = new_step(**RUNS["adam, cosine"])
    restore_optimizer(here.optimizer, saved)
    here(*batch())
    there = Trainer(short_run(store, "cuda:0", "adam, cosine"), never)
    restore_optimizer(there.optimizer, here.optimizer.state_dict())
    assert there.train_epoch()


class Altered(NeuralNetwork):
    """What this computes of a batch also depends on how the network is altered."""

    def __init__(self, altered: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]) -> None:
        super().__init__()
        self.altered = altered

    def forward(self, x: Tensor) -> Tensor:
        return self.altered(super().forward, x)


class ByGradient(NeuralNetwork):  # of the batch, once some parameters have theirs
    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear_relu_stack[:3](self.flatten(x))
        hidden.register_hook(lambda gradient: gradient * (1 + float(gradient.max())))
        logits: Tensor = self.linear_relu_stack[3:](hidden)
        return logits


class WithMean(NeuralNetwork):  # has another buffer after each batch
    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = torch.add(self.mean, x.mean())
        return torch.add(super().forward(x), self.mean)


class Recurrent(nn.Module):  # reads an image row by row
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.last = nn.LSTM(28, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.rows(x.squeeze(1))[0][:, -1])
        return logits


NO_TENSOR = "one of its operators gives a {}, not a tensor."
OTHER_NUMBERS = "replaying its recording on another batch gives different numbers."
SHAPE = "the output shape of aten::index depends on the values in its batch."
MADE_OF_NOTHING = "it uses a tensor that no operator made of its batch, parameters and buffers."
BY_NUMBER = partial(Altered, lambda forward, x: forward(x) * (1 + float(x.mean())))
WHY_BY_ITSELF: dict[str, tuple[Callable[[], nn.Module], str | None]] = {
    "number": (BY_NUMBER, NO_TENSOR.format("float")),
    "gradient": (ByGradient, NO_TENSOR.format("float")),
    "list": (partial(Altered, lambda forward, x: torch.cat(forward(x).chunk(2, 1), 1)), NO_TENSOR.format("list")),
    "bright pixels": (partial(Altered, lambda forward, x: forward(x) * x[x > 0.3].numel()), SHAPE),
    "order": (partial(Altered, lambda forward, x: forward(x)[x.flatten(1).sum(1).argsort()]), SHAPE),
    "unseen": (partial(Altered, lambda forward, x: forward(x) * float(x.numpy().max())), OTHER_NUMBERS),
    "mean": (WithMean, OTHER_NUMBERS),
    "tensor": (partial(Altered, lambda forward, x: forward(x) * torch.tensor(2.0)), MADE_OF_NOTHING),
    "recurrent": (Recurrent, "TorchScript does not support one of its operators."),
    "in place": (partial(Altered, lambda forward, x: forward(x.mul_(2))), None),
}


@pytest.mark.parametrize(("make", "why"), WHY_BY_ITSELF.values(), ids=WHY_BY_ITSELF)
def test_any_model_trains_as_if_not_recorded(make: Callable[[], nn.Module], why: str | None, caplog: Log) -> None:
    """And where its steps are no replays, the log tells why."""
    torch.manual_seed(0)
    plain, inside = step_of(make(), config()), step_of(make(), config())
    inside.model.load_state_dict(plain.model.state_dict())
    recorded = TorchScriptStep(inside, BATCH, CPU)
    for seed in range(4):
        assert torch.equal(recorded(*batch(seed=seed)), plain(*batch(seed=seed)))
    assert same(numbers(inside), numbers(plain))
    name = type(plain.model).__name__
    assert caplog.messages == ([f"Steps of {name} run without a recording: {why}"] if why else [])


@needs_gpu
def test_model_that_waits_for_the_gpu_is_refused() -> None:
    device = devices.resolve("cuda:0")
    step = CUDAGraphStep(step_of(BY_NUMBER().to(device), config()), BATCH, device)
    inputs, labels = batch()
    with pytest.raises(DeviceError, match="Altered can't be captured in a CUDA graph"):
        step(inputs.to(device), labels.to(device))


def test_gradients_are_not_copied() -> None:
    """Whoever held one while autograd hands it to its parameter would make it a copy, in each replay."""
    step = TorchScriptStep(new_step(), BATCH, CPU)
    step(*batch())
    assert "aten::copy_" not in str(step._replay.function.graph)  # type: ignore[union-attr]


@pytest.mark.slow
def test_recording_does_not_load_the_compiler() -> None:
    """It would take longer than the first epoch."""
    done = python(
        "import sys; from tests.support.steps import *\n"
        "from fashion_core.training.captured_step import TorchScriptStep\n"
        "TorchScriptStep(new_step(model='cnn'), BATCH, CPU)(*batch())\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert done.returncode == 0, done.stderr
