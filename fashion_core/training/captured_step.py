"""A training step that is captured once and replayed for each full batch, so that Python is out of its way."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fashion_core import devices
from fashion_core.loops import Step, TrainStep


class ReplayedStep(ABC):
    """A ``TrainStep``: each batch of ``batch_size`` is a replay of one capture, also the first.

    So a step is the same one whether or not the process has just begun. A smaller batch, the last of an epoch, goes
    through the ``step`` itself. A replay draws from the device's default generator what that would draw, and moves it
    on as far. Model and optimizer must keep their tensors from the first batch on.
    """

    rate_dtype: ClassVar[torch.dtype]
    """Of the learning rate, as the fused optimizers of the device read it from a tensor."""

    def __init__(self, step: TrainStep, batch_size: int, device: torch.device) -> None:
        self.step, self._batch_size, self._device = step, batch_size, device
        self._learning_rate = torch.zeros((), dtype=self.rate_dtype, device=device)
        self._filled: float | None = None
        self._replay: Step | None = None

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of this batch before the step, a scalar that stays on the device.

        Raises ``DeviceError`` if the step can't be captured, where the device needs that.
        """
        self._fill_learning_rate()
        if len(labels) < self._batch_size:
            return self._step_by_itself(inputs, labels)
        self._replay = self._replay or self._capture(inputs.clone(), labels.clone())
        return self._replay(inputs, labels)

    def _step_by_itself(self, inputs: Tensor, labels: Tensor) -> Tensor:
        with options(self.step.optimizer, lr=self._learning_rate):
            return self.step(inputs, labels)

    def _fill_learning_rate(self) -> None:
        """A number would be a constant of the capture."""
        (group,) = self.step.optimizer.param_groups
        if group["lr"] != self._filled:
            self._filled = group["lr"]
            self._learning_rate.fill_(group["lr"])

    @abstractmethod
    def _capture(self, inputs: Tensor, labels: Tensor) -> Step:
        """What trains on such a batch, which is a copy, and gives its loss in a tensor of its own.

        Nothing is trained by this. May raise ``DeviceError``.
        """


@contextmanager
def options(optimizer: Optimizer, **changed: Any) -> Iterator[None]:
    """Other options while inside. What is saved of an optimizer never holds them."""
    (group,) = optimizer.param_groups
    before = dict(group)
    group.update(changed)
    try:
        yield
    finally:
        group.clear()
        group.update(before)


@contextmanager
def put_back(model: nn.Module, optimizer: Optimizer, device: torch.device) -> Iterator[None]:
    """Let what is trained inside leave no trace, in the same tensors; parameters have no gradient before and after.

    State that the optimizer makes inside stays as zeros, from which its first step gives what it gives without any.
    """
    tensors = trained_tensors(model, optimizer)
    buffers = [(module, dict(module._buffers)) for module in model.modules()]
    before = [tensor.detach().clone() for tensor in tensors]
    random_state = devices.random_state(device)
    try:
        yield
    finally:
        for parameter in model.parameters():
            parameter.grad = None
        for module, own in buffers:
            module._buffers.update(own)
        with torch.no_grad():
            for tensor in _state(optimizer):
                tensor.zero_()
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
        devices.set_random_state(random_state, device)


def trained_tensors(model: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """All that a step may change."""
    return [*model.parameters(), *model.buffers(), *_state(optimizer)]


def _state(optimizer: Optimizer) -> list[Tensor]:
    return [value for values in optimizer.state.values() for value in values.values() if isinstance(value, Tensor)]
