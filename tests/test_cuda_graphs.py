"""Training steps as CUDA graphs: the bits of the same steps without one. Most of it needs a GPU."""

from typing import Any

import pytest
import torch
from helpers import After, config, never, new_run, train
from steps import BATCH, CPU, batch, end_of, new_step, numbers, same, step_by_step
from torch import Tensor, nn

from fashion_core import devices
from fashion_core.cuda_graphs import GraphedStep
from fashion_core.errors import DeviceError
from fashion_core.loops import TrainStep
from fashion_core.models import NeuralNetwork
from fashion_core.optimizers import make_optimizer, restore_optimizer
from fashion_core.replays import options, put_back
from fashion_core.run_folders import Run
from fashion_core.runs import RunStore
from fashion_core.training import Training

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9, "weight_decay": 0.01},
    "adam, cosine": {"optimizer": "adam", "schedule": "cosine"},
    "cnn, adamw": {"model": "cnn", "optimizer": "adamw", "weight_decay": 0.05},
}
ON_GPU: dict[str, dict[str, Any]] = {
    **SETTINGS,
    "cnn, adamw, cosine, bf16": {**SETTINGS["cnn, adamw"], "schedule": "cosine", "precision": "bf16"},
    "resnet18": {"model": "resnet18", "momentum": 0.9},
}
all_settings = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
all_on_gpu = pytest.mark.parametrize("settings", ON_GPU.values(), ids=ON_GPU)


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
            with put_back(step.model, step.optimizer, CPU):
                step(*batch())
                assert not same(numbers(step), before)
        step(*batch())
        step(*batch())
    assert same(numbers(warmed), numbers(plain))


def test_warm_up_is_undone_in_the_tensors_that_a_graph_will_use() -> None:
    step = new_step(**SETTINGS["momentum"])
    with put_back(step.model, step.optimizer, CPU):
        step(*batch())
        used = [values["momentum_buffer"].data_ptr() for values in step.optimizer.state.values()]
    step(*batch())
    assert used == [values["momentum_buffer"].data_ptr() for values in step.optimizer.state.values()]


@all_settings
def test_learning_rate_in_a_tensor_gives_the_bits_of_the_number_in_float32(settings: dict[str, Any]) -> None:
    in_tensor, as_number = new_step(**settings), new_step(**settings)
    rate = torch.tensor(0.001 / 3)
    torch.manual_seed(3)
    with options(in_tensor.optimizer, lr=rate):
        in_tensor(*batch())
    torch.manual_seed(3)
    with options(as_number.optimizer, lr=rate.item()):
        as_number(*batch())
    assert same(numbers(in_tensor), numbers(as_number))


@all_settings
def test_what_is_saved_of_an_optimizer_never_tells_of_a_graph(settings: dict[str, Any]) -> None:
    step = new_step(**settings)
    before = step.optimizer.state_dict()["param_groups"]
    with pytest.raises(KeyError), options(step.optimizer, lr=torch.tensor(0.1), capturable=True):
        raise KeyError
    assert step.optimizer.state_dict()["param_groups"] == before
    assert isinstance(before[0]["lr"], float)


def test_batch_smaller_than_the_graphs_is_the_step_itself() -> None:
    graphed, plain = new_step(), new_step()
    loss = GraphedStep(graphed, BATCH, CPU)(*batch(BATCH - 1))
    assert torch.equal(loss, plain(*batch(BATCH - 1)))
    assert same(numbers(graphed), numbers(plain))


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
    there = Training(on_gpu(store, **SETTINGS["adam, cosine"]), never)
    restore_optimizer(there.optimizer, here.optimizer.state_dict())
    assert there.train_epoch()


@needs_gpu
def test_model_that_waits_for_the_gpu_is_told_and_nothing_else_is_done() -> None:
    class Waiting(NeuralNetwork):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float(x.sum() > 0)

    device = devices.resolve("cuda:0")
    model = Waiting().to(device)
    step = GraphedStep(TrainStep(model, nn.CrossEntropyLoss(), make_optimizer(config(), model)), BATCH, device)
    inputs, labels = batch()
    with pytest.raises(DeviceError, match="Waiting can't be captured in a CUDA graph"):
        step(inputs.to(device), labels.to(device))
