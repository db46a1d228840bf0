"""A whole training step as one CUDA graph: Python launches it once for a batch, not each of its kernels.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fashion_core import devices
from fashion_core.errors import DeviceError
from fashion_core.loops import TrainStep

_WARM_UPS = 3
"""Steps before the capture, in which libraries choose their kernels and take their memory, as torch's notes ask for."""


class GraphedStep:
    """A ``TrainStep`` for a CUDA device: each batch of ``batch_size`` is a replay of one graph, also the first.

    So a step is the same one whether or not the process has just begun. A smaller batch, the last of an epoch, goes
    through the step itself. A replay draws from the device's default generator what the step would draw, and moves it
    on as far: torch hands its seed and offset to the graph each time. Model and optimizer must keep their tensors from
    the first batch on.
    """

    def __init__(self, step: TrainStep, batch_size: int, device: torch.device) -> None:
        self._step, self._batch_size, self._device = step, batch_size, device
        self._learning_rate = torch.zeros((), device=device)
        self._filled: float | None = None
        self._captured: _Captured | None = None

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of this batch. Raises ``DeviceError`` if the step can't be captured."""
        self._fill_learning_rate()
        if len(labels) < self._batch_size:
            with options(self._step.optimizer, lr=self._learning_rate):
                return self._step(inputs, labels)
        self._captured = self._captured or self._capture(inputs, labels)
        return self._captured.replay(inputs, labels)

    def _fill_learning_rate(self) -> None:
        """A number would be a constant of the graph; the fused optimizers read this tensor, in float32."""
        (group,) = self._step.optimizer.param_groups
        if group["lr"] != self._filled:
            self._filled = group["lr"]
            self._learning_rate.fill_(group["lr"])

    def _capture(self, inputs: Tensor, labels: Tensor) -> "_Captured":
        optimizer = self._step.optimizer
        with options(optimizer, lr=self._learning_rate), put_back(self._step.model, optimizer, self._device):
            stream = self._warmed_up(inputs, labels)
        with options(optimizer, lr=self._learning_rate, capturable=True):
            return _Captured(self._step, inputs, labels, stream)

    def _warmed_up(self, inputs: Tensor, labels: Tensor) -> torch.cuda.Stream:
        """The stream to capture on, which must not be the one that everything else is computed on."""
        current, stream = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._step(inputs, labels)
        current.wait_stream(stream)
        return stream


class _Captured:
    """The graph, and the tensors that it reads and writes."""

    def __init__(self, step: TrainStep, inputs: Tensor, labels: Tensor, stream: torch.cuda.Stream) -> None:
        self._inputs, self._labels = inputs.clone(), labels.clone()
        self._graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self._graph, stream=stream):
                self._loss = step(self._inputs, self._labels)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            cause = str(error.__context__ or error).partition("\n")[0]  # what ended the capture, before its own end
            raise DeviceError(
                f"A training step of {type(step.model).__name__} can't be captured in a CUDA graph ({cause}): choose "
                "the device cpu, or take out of the model what waits for the GPU."
            ) from error

    def replay(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Train on this batch, and give its loss in a tensor of its own."""
        self._inputs.copy_(inputs)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._loss.clone()


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
    """Let what is trained inside leave no trace, in the same tensors.

    State that the optimizer makes inside stays as zeros, from which its first step gives what it gives without any.
    """
    tensors = [*model.parameters(), *model.buffers(), *_state(optimizer)]
    before = [tensor.detach().clone() for tensor in tensors]
    random_state = devices.random_state(device)
    yield
    with torch.no_grad():
        for tensor in _state(optimizer):
            tensor.zero_()
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)
    devices.set_random_state(random_state, device)


def _state(optimizer: Optimizer) -> list[Tensor]:
    return [value for values in optimizer.state.values() for value in values.values() if isinstance(value, Tensor)]
