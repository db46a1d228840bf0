"""A whole training step as one CUDA graph: Python launches it once for a batch, not each of its kernels.

Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import torch
from torch import Tensor

from fashion_core.errors import DeviceError
from fashion_core.loops import TrainStep
from fashion_core.training.captured_step import ReplayedStep, options, put_back

_WARM_UPS = 3
"""Steps before the capture, in which libraries choose their kernels and take their memory, as torch's notes ask for."""


class GraphedStep(ReplayedStep):
    """A ``TrainStep`` for a CUDA device. torch hands the generator's seed and offset to the graph for each replay."""

    rate_dtype = torch.float32

    def _capture(self, inputs: Tensor, labels: Tensor) -> "_Captured":
        optimizer = self.step.optimizer
        with options(optimizer, lr=self._learning_rate), put_back(self.step.model, optimizer, self._device):
            stream = self._warmed_up(inputs, labels)
        with options(optimizer, lr=self._learning_rate, capturable=True):
            return _Captured(self.step, inputs, labels, stream)

    def _warmed_up(self, inputs: Tensor, labels: Tensor) -> torch.cuda.Stream:
        """The stream to capture on, which must not be the one that everything else is computed on."""
        current, stream = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self.step(inputs, labels)
        current.wait_stream(stream)
        return stream


class _Captured:
    """The graph, and the tensors that it reads and writes."""

    def __init__(self, step: TrainStep, inputs: Tensor, labels: Tensor, stream: torch.cuda.Stream) -> None:
        self._inputs, self._labels = inputs, labels
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

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        self._inputs.copy_(inputs)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._loss.clone()
