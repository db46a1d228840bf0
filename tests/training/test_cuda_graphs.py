"""Training steps as CUDA graphs: the bits of the same steps without one. Most of it needs a GPU."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_core import devices
from fashion_core.errors import DeviceError
from fashion_core.loops import TrainStep, make_optimizer, restore_optimizer
from fashion_core.models import NeuralNetwork
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.training.captured_step import CUDAGraphStep
from fashion_core.training.trainer import Trainer
from tests.support.runs import After, config, never, new_run, train
from tests.support.steps import BATCH, SETTINGS, batch, end_of, new_step, same, step_by_step

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
ON_GPU: dict[str, dict[str, Any]] = {
    **SETTINGS,
    "cnn, adamw, cosine, bf16": {**SETTINGS["cnn, adamw"], "schedule": "cosine", "precision": "bf16"},
    "resnet18": {"model": "resnet18", "momentum": 0.9},
}
all_on_gpu = pytest.mark.parametrize("settings", ON_GPU.values(), ids=ON_GPU)


def on_gpu(store: RunStore, **changes: Any) -> Run:
    """Two epochs of four full batches and a smaller one."""
    return new_run(store, device="cuda:0", train_images=300, epochs=2, batch_size=BATCH, **changes)


@needs_gpu
@all_on_gpu
def test_replays_give_the_bits_of_the_steps(store: RunStore, settings: dict[str, Any]) -> None:
    assert same(end_of(on_gpu(store, **settings)), end_of(on_gpu(store, **settings), way=step_by_step))


@needs_gpu
@all_on_gpu
def test_stopped_on_a_gpu_and_continued_ends_in_the_same_bits(store: RunStore, settings: dict[str, Any]) -> None:
    """A stop before each batch in turn, also before the smaller one, which no graph has preceded then."""
    straight = end_of(on_gpu(store, **settings))
    for stop_at in range(2, 11):
        run = on_gpu(store, **settings)
        assert train(run, After(stop_at)) == "stopped"
        assert same(end_of(run), straight), f"stopped when asked for the {stop_at}th time"


@needs_gpu
def test_optimizer_goes_from_a_gpu_to_a_cpu_and_back(store: RunStore) -> None:
    run = on_gpu(store, **SETTINGS["adam, cosine"])
    end_of(run)
    saved = torch.load(run.checkpoint_path(1), weights_only=True)["optimizer_state_dict"]
    assert isinstance(saved["param_groups"][0]["lr"], float)
    assert not saved["param_groups"][0]["capturable"]
    here = new_step(**SETTINGS["adam, cosine"])
    restore_optimizer(here.optimizer, saved)
    here(*batch())
    there = Trainer(on_gpu(store, **SETTINGS["adam, cosine"]), never)
    restore_optimizer(there.optimizer, here.optimizer.state_dict())
    assert there.train_epoch()


@needs_gpu
def test_model_that_waits_for_the_gpu_is_told_and_nothing_else_is_done() -> None:
    class Waiting(NeuralNetwork):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float(x.sum() > 0)

    device = devices.resolve("cuda:0")
    model = Waiting().to(device)
    step = CUDAGraphStep(TrainStep(model, nn.CrossEntropyLoss(), make_optimizer(config(), model)), BATCH, device)
    inputs, labels = batch()
    with pytest.raises(DeviceError, match="Waiting can't be captured in a CUDA graph"):
        step(inputs.to(device), labels.to(device))
