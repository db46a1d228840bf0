"""Every use of torch beyond its documented API, each with a fallback for versions of torch that lack it."""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

try:  # without either of them nothing is recorded
    from torch.utils._python_dispatch import TorchDispatchMode  # sees each operator that runs, those of autograd too
    from torch.utils.weak import WeakTensorKeyDictionary  # knows a tensor by its identity without keeping it alive
except ImportError:
    TorchDispatchMode = object  # type: ignore[misc, assignment]

# In the order of c10/core/MemoryFormat.h: a graph takes them by their numbers.
_MEMORY_FORMATS = [torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d]


def cpu_capabilities() -> Mapping[str, Any]:
    """The CPU's name and instruction sets. Empty where torch can't tell: it then counts as an old Intel CPU."""
    return getattr(torch.cpu, "get_capabilities", dict)()


@cache
def onednn_matmul() -> Any:
    """What has ``fp32_precision`` for oneDNN's products. Without it MKL computes them: slower on AMD's CPUs."""
    found = getattr(getattr(torch.backends, "mkldnn", None), "matmul", None)
    if not hasattr(found, "fp32_precision"):
        logging.warning(
            "torch has no torch.backends.mkldnn.matmul.fp32_precision: products are computed as it chooses."
        )
        return None
    return found


def bare_step(kind: type[Optimizer]) -> Callable[[Optimizer], None]:
    """``kind.step`` without its hooks for torch's profiler and compiler; the step as it is where it has none."""
    step: Callable[[Optimizer], None] = inspect.unwrap(kind.step)
    return step


def leave_compiler_out() -> None:
    """Keep an optimizer from importing torch's compiler (0.7 s). A version that ignores the mark imports it."""
    for method in (Optimizer.add_param_group, Optimizer.state_dict, Optimizer.load_state_dict):
        function = inspect.unwrap(method)
        setattr(function, "__dynamo_disable", function)  # what the wrapper would ask the compiler to make


class NotRecordableError(Exception):
    """A step can't be recorded as a function of tensors; the message says why."""


@dataclass(frozen=True)
class Recording:
    """A step as one TorchScript function of a batch and ``tensors``: no Python or autograd between its operators."""

    function: Any
    tensors: Sequence[Tensor]
    optimized_execution: Callable[[bool], AbstractContextManager[None]]

    @torch.inference_mode()
    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Do the step again for another batch of the same shapes."""
        with self.optimized_execution(False):  # which would take other operators, and they round differently
            loss: Tensor = self.function(inputs, labels, *self.tensors)
        return loss


def record(
    step: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, labels: Tensor, tensors: Sequence[Tensor]
) -> Recording:
    """Take the step, and record each of its operators; ``tensors`` are all that it reads or writes beside its batch.

    Raises ``NotRecordableError``, also where this version of torch lacks what a recording needs.
    """
    try:
        optimized_execution = torch.jit.optimized_execution  # type: ignore[attr-defined]
        recorder = _Recorder([inputs, labels, *tensors])
        with recorder:
            loss = step(inputs, labels)
        return Recording(recorder.function(loss), tensors, optimized_execution)
    except (AttributeError, NameError) as error:
        raise NotRecordableError(f"this version of torch can't record it ({error}).") from error


class _Recorder(TorchDispatchMode):
    """Writes each operator that runs while it is entered, those of ``backward`` included, into a TorchScript graph.

    It keeps none of their tensors alive: autograd copies a gradient that something else holds.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._graph: Any = torch._C.Graph()  # TorchScript built by operator: its public compiler reads Python source
        self._tensor_list: Any = torch._C.ListType.ofTensors()  # the type of a list argument in a graph
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
        """Run the operator, and record it with all of its arguments, those left at their defaults too."""
        kwargs = kwargs or {}
        outputs = operator(*args, **kwargs)
        schema = operator._schema  # names and types of the arguments, as a graph takes them
        if torch.Tag.dynamic_output_shape in operator.tags:
            raise NotRecordableError(f"the output shape of {schema.name} depends on the values in its batch.")
        given = {**dict(zip((argument.name for argument in schema.arguments), args, strict=False)), **kwargs}
        values = [self._value(given.get(each.name, each.default_value), each.type) for each in schema.arguments]
        node = self._graph.insertNode(self._graph.create(schema.name, values, len(schema.returns)))
        for value, output in zip(node.outputs(), outputs if isinstance(outputs, tuple) else [outputs], strict=False):
            if isinstance(output, Tensor):
                self._values[output] = value
            elif output is not None:
                raise NotRecordableError(f"one of its operators gives a {type(output).__name__}, not a tensor.")
        return outputs

    def function(self, result: Tensor) -> Any:
        """What computes this tensor, made by one of the operators, from the inputs."""
        self._graph.registerOutput(self._values[result])
        return torch._C._create_function_from_graph("step", self._graph)  # no public way leads from a graph to a call

    def _value(self, given: Any, type_: Any) -> Any:
        if isinstance(given, Tensor):
            return self._made(given)
        if type_ == self._tensor_list:
            values = [self._made(tensor) for tensor in given]
            gathered = self._graph.insertNode(self._graph.create("prim::ListConstruct", values, 1)).output()
            gathered.setType(self._tensor_list)
            return gathered
        is_format = isinstance(given, torch.memory_format)
        return self._graph.insertConstant(_MEMORY_FORMATS.index(given) if is_format else given)

    def _made(self, tensor: Tensor) -> Any:
        if tensor not in self._values:
            raise NotRecordableError("it uses a tensor that no operator made of its batch, parameters and buffers.")
        return self._values[tensor]
