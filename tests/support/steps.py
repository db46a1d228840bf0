"""Training steps, and bitwise comparison of what two of them do."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fashion_core.config import TrainConfig
from fashion_core.loops import Step, TrainStep, make_optimizer
from fashion_core.models import build_model
from fashion_core.runs.run import Run
from fashion_core.training.captured_step import CapturedStep
from tests.support.runs import FEW, config, never, trainer

CPU, BATCH = torch.device("cpu"), 64
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum, raw pixels": {"momentum": 0.9, "weight_decay": 0.01, "pixels": "raw", "learning_rate": 1e-5},
    "adam, cosine": {"optimizer": "adam", "schedule": "cosine"},
    "cnn, adamw, cosine": {"model": "cnn", "optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine"},
}


def new_step(**settings: Any) -> TrainStep:
    chosen = config(**settings)
    return step_of(build_model(chosen.model, seed=0), chosen)


def step_of(model: nn.Module, chosen: TrainConfig) -> TrainStep:
    return TrainStep(model, nn.CrossEntropyLoss(), make_optimizer(chosen, model))


def batch(size: int = BATCH, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, 1, 28, 28, generator=generator), torch.randint(10, (size,), generator=generator)


def numbers(step: TrainStep) -> list[Tensor]:
    return [value.clone() for value in [*step.model.state_dict().values(), *_state(step.optimizer.state_dict())]]


def _state(optimizer: dict[str, Any]) -> list[Tensor]:
    return [value for values in optimizer["state"].values() for value in values.values()]


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(map(torch.equal, some, others))


def step_by_step(step: Step) -> Step:
    assert isinstance(step, CapturedStep)
    return step.step


def end_of(
    run: Run, should_stop: Callable[[], bool] = never, way: Callable[[Step], Step] = lambda step: step
) -> list[Tensor]:
    """All tensors of the last checkpoint of a run trained to its end with steps made by ``way``."""
    with run.writing():
        made = trainer(run, should_stop, FEW)
        made.train_step = way(made.train_step)
        made.train()
    last = torch.load(run.checkpoint_path(made.config.epochs - 1), weights_only=True)
    losses = torch.tensor([last["loss"], last["measured"]["train_loss"]])
    return [*last["model_state_dict"].values(), *_state(last["optimizer_state_dict"]), losses]
