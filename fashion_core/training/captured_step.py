"""A training step that is captured once and replayed for each full batch, without the cost of Python.

On CUDA it is a graph (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs); on the CPU a TorchScript
function. ``python -m tests.benchmarks training`` says what that saves.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from fashion_core import devices
from fashion_core.errors import DeviceError
from fashion_core.loops import Step, TrainStep
from fashion_core.models.torch_internals import NotRecordableError, Recording, record


class CapturedStep(ABC):
    """A ``TrainStep``: each batch of ``batch_size``, even the first, is a replay of one capture.

    A step is therefore the same whether or not the process has just started; the smaller last batch of an epoch goes
    through ``step`` itself. A replay draws from the device's default generator exactly what ``step`` draws. Model and
    optimizer must keep their tensors from the first batch on.
    """

    rate_dtype: ClassVar[torch.dtype]  # as the device's fused optimizers read the learning rate from a tensor

    def __init__(self, step: TrainStep, batch_size: int, device: torch.device) -> None:
        self.step, self.batch_size, self._device = step, batch_size, device
        self._learning_rate = torch.zeros((), dtype=self.rate_dtype, device=device)
        self._filled: float | None = None
        self._replay: Step | None = None

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Train on a batch and return its loss before the step, a scalar on the device. Raises ``DeviceError``."""
        (group,) = self.step.optimizer.param_groups
        if group["lr"] != self._filled:  # in a tensor: a number would become a constant of the capture
            self._filled = group["lr"]
            self._learning_rate.fill_(group["lr"])
        if len(labels) < self.batch_size:
            return self._step_by_itself(inputs, labels)
        self._replay = self._replay or self._capture(inputs.clone(), labels.clone())
        return self._replay(inputs, labels)

    def _step_by_itself(self, inputs: Tensor, labels: Tensor) -> Tensor:
        with override_options(self.step.optimizer, lr=self._learning_rate):
            return self.step(inputs, labels)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Undo all training of the block at its end."""
        with preserve_state(self.step, self._device):
            yield

    def outcome(self, way: Step, inputs: Tensor, labels: Tensor) -> list[Tensor]:
        """Return the loss and all trained tensors after training on this batch by ``way``; then undo it."""
        with self.undone():
            loss = way(inputs.clone(), labels)
            return [tensor.detach().clone() for tensor in (loss, *trained_tensors(self.step))]

    @abstractmethod
    def _capture(self, inputs: Tensor, labels: Tensor) -> Step:
        """Return what trains on such a batch and returns its loss in a new tensor; train nothing itself."""


@contextmanager
def override_options(optimizer: Optimizer, **changed: Any) -> Iterator[None]:
    """Change the optimizer's options within the block only; the changes are never saved."""
    (group,) = optimizer.param_groups
    before = dict(group)
    group.update(changed)
    try:
        yield
    finally:
        group.clear()
        group.update(before)


@contextmanager
def preserve_state(step: TrainStep, device: torch.device) -> Iterator[None]:
    """Restore, in place, all that the block trains; parameters have no gradient before or after.

    State that the optimizer creates inside stays, zeroed: a first step from zeros equals a first step from no state.
    """
    tensors, modules = trained_tensors(step), list(step.model.modules())
    buffers = [(module, name, buffer) for module in modules for name, buffer in module.named_buffers(recurse=False)]
    before = [tensor.detach().clone() for tensor in tensors]
    random_state = devices.random_state(device)
    try:
        yield
    finally:
        for parameter in step.model.parameters():
            parameter.grad = None
        for module, name, buffer in buffers:
            setattr(module, name, buffer)
        with torch.no_grad():
            for tensor in _state(step.optimizer):
                tensor.zero_()
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
        devices.set_random_state(random_state, device)


def trained_tensors(step: TrainStep) -> list[Tensor]:
    return [*step.model.parameters(), *step.model.buffers(), *_state(step.optimizer)]


def _state(optimizer: Optimizer) -> list[Tensor]:
    return [value for values in optimizer.state.values() for value in values.values() if isinstance(value, Tensor)]


class CUDAGraphStep(CapturedStep):
    """A ``TrainStep`` for a CUDA device. torch hands the generator's seed and offset to the graph for each replay."""

    rate_dtype = torch.float32

    def _capture(self, inputs: Tensor, labels: Tensor) -> Step:
        step, rate, graph = self.step, self._learning_rate, torch.cuda.CUDAGraph()
        with override_options(step.optimizer, lr=rate), preserve_state(step, self._device):
            stream = self._warm_up(inputs, labels)
        try:
            with override_options(step.optimizer, lr=rate, capturable=True), torch.cuda.graph(graph, stream=stream):
                loss = step(inputs, labels)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # The context is what broke the capture; the error is how the capture ended.
            cause = str(error.__context__ or error).partition("\n")[0]
            problem = f"A training step of {type(step.model).__name__} can't be captured in a CUDA graph ({cause})"
            advice = "choose the device cpu, or remove from the model whatever waits for the GPU."
            raise DeviceError(f"{problem}: {advice}") from error

        def replay(new_inputs: Tensor, new_labels: Tensor) -> Tensor:
            inputs.copy_(new_inputs)
            labels.copy_(new_labels)
            graph.replay()
            return loss.clone()

        return replay

    def _warm_up(self, inputs: Tensor, labels: Tensor) -> torch.cuda.Stream:
        """Let libraries choose kernels and take memory in three steps, as torch's notes ask; return their stream."""
        current, stream = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step(inputs, labels)
        current.wait_stream(stream)
        return stream


class TorchScriptStep(CapturedStep):
    """A ``TrainStep`` for the CPU. A step that can't be recorded runs by itself, and the log says why.

    A model must not count, draw or compute outside torch: a capture runs it a few times.
    """

    rate_dtype = torch.float64

    def _capture(self, inputs: Tensor, labels: Tensor) -> Step:
        step = self.step
        with override_options(step.optimizer, lr=self._learning_rate):
            with preserve_state(step, self._device):
                step(inputs, labels)  # from here on the optimizer has its state
            try:
                return self._recorded(inputs, labels)
            except NotRecordableError as error:
                cause = str(error)
            except (RuntimeError, TypeError):
                cause = "TorchScript does not support one of its operators."
        logging.warning("Steps of %s run without a recording: %s", type(step.model).__name__, cause)
        return self._step_by_itself

    def _recorded(self, inputs: Tensor, labels: Tensor) -> Recording:
        with preserve_state(self.step, self._device):
            recorded = record(self.step, inputs, labels, [self._learning_rate, *trained_tensors(self.step)])
        other = inputs.flip(0) / 2, labels.roll(1)
        for one, expected in zip(self.outcome(recorded, *other), self.outcome(self.step, *other), strict=True):
            if not torch.allclose(one, expected, rtol=0, atol=0, equal_nan=True):
                raise NotRecordableError("replaying its recording on another batch gives different numbers.")
        return recorded
