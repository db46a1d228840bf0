"""The tutorial's two loops, train for one pass over some batches and measure, and the optimizers that they step."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from fashion_core.config import TrainConfig
from fashion_core.models.torch_internals import bare_step, leave_compiler_out

Batches = Iterable[tuple[Tensor, Tensor]]
Step = Callable[[Tensor, Tensor], Tensor]
NO_AUTOCAST = nullcontext()


@dataclass(frozen=True)
class TrainStep:
    model: nn.Module
    loss_fn: nn.Module
    optimizer: Optimizer
    autocast: AbstractContextManager[object] = NO_AUTOCAST

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of this batch before the step, as a scalar that stays on the device."""
        with self.autocast:
            loss: Tensor = self.loss_fn(self.model(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        step(self.optimizer)
        return loss.detach()


def train_loop(
    batches: Batches, model: nn.Module, train_step: Step, still: Sequence[nn.Module] = ()
) -> Iterator[Tensor]:
    """Train on each batch as the caller asks for it, and yield its loss.

    Between two batches the caller may check the time, change the learning rate, or leave. The modules in ``still``
    are used as in a test.
    """
    model.train()
    for module in still:
        module.eval()
    for inputs, labels in batches:
        yield train_step(inputs, labels)


@dataclass(frozen=True)
class Evaluation:
    """The result of a pass over the test images."""

    loss: float  # the mean
    accuracy: float  # 0 to 1
    losses: Tensor  # of each image, in order; (N,) float32 on the CPU


def standard_error(values: Tensor) -> float:
    """The standard error of the mean of independent values."""
    return (values.double().std() / math.sqrt(len(values))).item()


@torch.inference_mode()
def test_loop(
    batches: Batches,
    model: nn.Module,
    loss_fn: nn.Module,
    gather: Callable[[Tensor], Tensor] = torch.clone,  # noqa: PT028 -- no test
) -> Evaluation:
    """Evaluate the model on all batches; it is left in ``eval`` mode.

    ``loss_fn`` returns the loss of each image, as ``nn.CrossEntropyLoss(reduction="none")`` does. ``gather`` puts what
    several processes measured on batches of their own, on the CPU, into one tensor.
    """
    model.eval()
    losses, correct = [], []
    for inputs, labels in batches:
        logits = model(inputs)
        losses.append(loss_fn(logits, labels))
        correct.append(logits.argmax(1) == labels)
    all_losses = gather(_joined(losses))
    accuracy = int(gather(_joined(correct)).sum()) / len(all_losses)
    return Evaluation(all_losses.double().mean().item(), accuracy, all_losses)


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts).float().cpu() if parts else torch.empty(0)


_KEPT = ("betas", "eps")  # options taken from the file; the others come from ``TrainConfig`` and this machine

leave_compiler_out()
_OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
_BARE_STEPS = {kind: bare_step(kind) for kind in _OPTIMIZERS.values()}


@torch.no_grad()
def step(optimizer: Optimizer) -> None:
    """Do ``optimizer.step()`` and ``optimizer.zero_grad()``, without their hooks for torch's compiler and profiler."""
    _BARE_STEPS[type(optimizer)](optimizer)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def make_optimizer(config: TrainConfig, model: nn.Module) -> Optimizer:
    """Make the optimizer that the settings ask for, in its fused form: one call for all tensors."""
    options: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        options["momentum"] = config.momentum
    return _OPTIMIZERS[config.optimizer](model.parameters(), **options)


def restore_optimizer(optimizer: Optimizer, state: dict[str, Any], anew: Sequence[nn.Parameter] = ()) -> None:
    """Load a saved state into an optimizer of the same kind; the options that settings decide stay as they are.

    Each tensor is laid out as its parameter: a fused step goes through the memory of both side by side. What is kept
    of a frozen parameter is left: it would be out of date once that is trained again. ``anew`` are those that were
    frozen before, and of which the state knows nothing.
    """
    (own,) = optimizer.param_groups
    (theirs,) = state["param_groups"]
    kept = {key: theirs[key] for key in _KEPT if key in theirs and key in own}
    used = _names_used(own, theirs)
    trained = {key for key, one in zip(theirs["params"], own["params"], strict=True) if one.requires_grad}
    states = {
        key: {name: values[name] for name in values if name in used}
        for key, values in state["state"].items()
        if key in trained
    }
    groups = [{**own, **kept, "params": theirs["params"]}]
    optimizer.load_state_dict({"state": {key: one for key, one in states.items() if one}, "param_groups": groups})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
    if any(isinstance(values.get("momentum_buffer"), Tensor) for values in optimizer.state.values()):
        for parameter in anew:  # from zeros as from nothing: a fused step takes a buffer of all or of none
            optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}


def _names_used(own: dict[str, Any], theirs: dict[str, Any]) -> set[str]:
    """What a step reads of a parameter's state. The rest is left: it would wait, out of date, for a later resume.

    SGD leaves the buffer as it was while the momentum is 0.
    """
    if "momentum" not in own:
        return {"step", "exp_avg", "exp_avg_sq"}
    return {"momentum_buffer"} if own["momentum"] and theirs.get("momentum", 1) else set()
