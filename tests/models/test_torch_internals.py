"""A version of torch without one of its undocumented names: the same bits, computed the plain way."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fashion_core import devices
from fashion_core.models import torch_internals
from fashion_core.training.captured_step import TorchScriptStep
from tests.support.processes import python
from tests.support.steps import BATCH, CPU, batch, new_step, numbers, same

FACTORS = torch.linspace(-1, 1, 300 * 512).view(300, 512), torch.linspace(-1, 2, 512 * 256).view(512, 256)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (torch._C, "Graph"),
        (torch._C, "ListType"),
        (torch._C, "_create_function_from_graph"),
        (torch._ops.OpOverload, "_schema"),
        (torch.jit, "optimized_execution"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_step_that_can_not_be_recorded_is_computed_as_it_comes(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inside, plain = new_step(momentum=0.9), new_step(momentum=0.9)
    step = TorchScriptStep(inside, BATCH, CPU)
    if name == "_schema":  # an attribute of each operator: hidden by a property that has none
        monkeypatch.setattr(owner, name, property(lambda operator: operator.no_such_name), raising=False)
    else:
        monkeypatch.delattr(owner, name)
    for seed in range(3):
        assert torch.equal(step(*batch(seed=seed)), plain(*batch(seed=seed)))
    assert same(numbers(inside), numbers(plain))
    (message,) = caplog.messages
    assert message.startswith("Steps of NeuralNetwork run without a recording: this version of torch can't record it")


STEPS = """
from tests.support.steps import *
from fashion_core.training.captured_step import TorchScriptStep
inside, plain = new_step(momentum=0.9), new_step(momentum=0.9)
step = TorchScriptStep(inside, BATCH, CPU)
assert all(torch.equal(step(*batch(seed=seed)), plain(*batch(seed=seed))) for seed in range(3))
assert same(numbers(inside), numbers(plain))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["torch.utils._python_dispatch.TorchDispatchMode", "torch.utils.weak.WeakTensorKeyDictionary"]
)
def test_without_names_that_are_imported_steps_are_computed_as_they_come(name: str) -> None:
    done = python(f"import torch.utils.weak\ndel {name}\n{STEPS}")
    assert done.returncode == 0, done.stderr
    assert "Steps of NeuralNetwork run without a recording: this version of torch can't record it" in done.stderr


@pytest.mark.slow
def test_optimizer_that_imports_the_compiler_all_the_same_does_the_same() -> None:
    done = python(
        "import sys, inspect, fashion_core.loops\nfrom torch.optim import Optimizer\n"
        "for method in (Optimizer.add_param_group, Optimizer.state_dict):\n"
        "    del inspect.unwrap(method).__dict__['__dynamo_disable']\n"
        f"{STEPS}assert 'torch._dynamo' in sys.modules"
    )
    assert done.returncode == 0, done.stderr


def test_products_without_the_setting_of_onednn_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch_internals.onednn_matmul.cache_clear()
    monkeypatch.delattr(type(torch.backends.mkldnn), "matmul")
    assert torch.equal(product(), FACTORS[0] @ FACTORS[1])
    product()
    torch_internals.onednn_matmul.cache_clear()
    (message,) = caplog.messages
    assert "fp32_precision: products are computed as it chooses" in message


def test_cpu_that_torch_can_not_name_computes_as_torch_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert torch.equal(product(), FACTORS[0] @ FACTORS[1])
    assert not devices.has_bf16(CPU)
    assert "cpu" in devices.available()


def product() -> Tensor:
    with devices.fast_matmul():
        return FACTORS[0] @ FACTORS[1]


def test_step_of_an_optimizer_is_the_same_without_its_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    bare, hooked = new_step(momentum=0.9), new_step(momentum=0.9)
    bare(*batch())
    monkeypatch.setattr("fashion_core.loops._BARE_STEPS", {torch.optim.SGD: torch.optim.SGD.step})
    hooked(*batch())
    assert same(numbers(bare), numbers(hooked))
