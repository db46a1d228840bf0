"""A whole training step on the CPU as one TorchScript function: its operators, with no Python or autograd between.

``python -m tests.benchmarks training`` says what that saves.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from fashion_core.loops import Step, TrainStep
from fashion_core.training.captured_step import ReplayedStep, options, put_back, trained_tensors

_TENSORS = torch._C.ListType.ofTensors()
_LAYOUTS = {
    torch.contiguous_format: 0,
    torch.preserve_format: 1,
    torch.channels_last: 2,
    torch.channels_last_3d: 3,
}
"""Their numbers in c10/core/MemoryFormat.h, by which a graph takes them."""


class RecordedStep(ReplayedStep):
    """A ``TrainStep`` for the CPU.

    One that a recording can't repeat, as of a model that goes by the numbers of its batch, is computed as it comes, and
    the log says why. A model must not count, draw or compute outside torch: a capture runs it a few times.
    """

    rate_dtype = torch.float64

    def _capture(self, inputs: Tensor, labels: Tensor) -> Step:
        step = self.step
        with options(step.optimizer, lr=self._learning_rate):
            with put_back(step.model, step.optimizer, self._device):
                step(inputs, labels)  # from here on the optimizer has its state
            try:
                return self._recorded(inputs, labels)
            except _NotRecordableError as error:
                cause = str(error)
            except (RuntimeError, TypeError):
                cause = "TorchScript does not take one of its operators."
        logging.warning("Each step of %s is computed by itself: %s", type(step.model).__name__, cause)
        return self._step_by_itself

    def _recorded(self, inputs: Tensor, labels: Tensor) -> "_Recorded":
        with put_back(self.step.model, self.step.optimizer, self._device):
            recorded = _Recorded(self.step, inputs, labels, self._learning_rate)
        other = inputs.flip(0) / 2, labels.roll(1)
        for one, expected in zip(self._done_by(recorded, *other), self._done_by(self.step, *other), strict=True):
            if not torch.allclose(one, expected, rtol=0, atol=0, equal_nan=True):
                raise _NotRecordableError("a recording of it gives other numbers for another batch.")
        return recorded

    def _done_by(self, step: Step, inputs: Tensor, labels: Tensor) -> list[Tensor]:
        """The loss and all that is trained, after this batch; then it is put back."""
        with put_back(self.step.model, self.step.optimizer, self._device):
            loss = step(inputs.clone(), labels)
            trained = trained_tensors(self.step.model, self.step.optimizer)
            return [tensor.detach().clone() for tensor in (loss, *trained)]


class _Recorded:
    """The function, and the tensors that it reads and writes beside a batch."""

    def __init__(self, step: TrainStep, inputs: Tensor, labels: Tensor, learning_rate: Tensor) -> None:
        self._tensors = [learning_rate, *trained_tensors(step.model, step.optimizer)]
        recorder = _Recorder([inputs, labels, *self._tensors])
        with recorder:
            loss = step(inputs, labels)
        self._function = recorder.function(loss)

    @torch.inference_mode()
    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        # An optimized function would be of other operators, which round differently.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            loss: Tensor = self._function(inputs, labels, *self._tensors)
        return loss


class _NotRecordableError(Exception):
    """What keeps a step from being a function of tensors alone."""


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes each operator that runs while it is entered, those of ``backward`` included, into a graph.

    It holds none of their tensors: autograd copies a gradient that anyone else holds.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph: Any = torch._C.Graph()
        self._values = WeakTensorKeyDictionary()
        for tensor in inputs:
            self._values[tensor] = self._graph.addInput()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """To skip torch's compiler it would first be imported, which takes longer than all else that is imported."""
        return False

    def __torch_dispatch__(
        self, operator: Any, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operator, and write it down with all of its arguments, also those that are left at their defaults."""
        outputs = operator(*args, **(kwargs or {}))
        schema = operator._schema
        if torch.Tag.dynamic_output_shape in operator.tags:
            raise _NotRecordableError(f"the shape of what {schema.name} gives goes by the numbers of its batch.")
        given = {**dict(zip((argument.name for argument in schema.arguments), args, strict=False)), **(kwargs or {})}
        values = [self._value(given.get(each.name, each.default_value), each.type) for each in schema.arguments]
        node = self._graph.insertNode(self._graph.create(schema.name, values, len(schema.returns)))
        for value, output in zip(node.outputs(), outputs if isinstance(outputs, tuple) else [outputs], strict=False):
            self._name(value, output)
        return outputs

    def function(self, result: Tensor) -> Any:
        """What computes this tensor, made by one of the operators, from the inputs."""
        self._graph.registerOutput(self._values[result])
        return torch._C._create_function_from_graph("step", self._graph)

    def _value(self, given: Any, type_: Any) -> Any:
        if isinstance(given, Tensor):
            return self._made(given)
        if type_ == _TENSORS:
            values = [self._made(tensor) for tensor in given]
            gathered = self._graph.insertNode(self._graph.create("prim::ListConstruct", values, 1)).output()
            gathered.setType(_TENSORS)
            return gathered
        return self._graph.insertConstant(_LAYOUTS[given] if isinstance(given, torch.memory_format) else given)

    def _made(self, tensor: Tensor) -> Any:
        if tensor not in self._values:
            raise _NotRecordableError("it uses a tensor that no operator made of its batch, parameters and buffers.")
        return self._values[tensor]

    def _name(self, value: Any, output: object) -> None:
        if isinstance(output, Tensor):
            self._values[output] = value
        elif output is not None:
            raise _NotRecordableError(f"one of its operators gives a {type(output).__name__}, not a tensor.")
