"""What a capture of a training step is made in: other options, and a warm-up that leaves no trace."""

from typing import Any

import pytest
import torch

from fashion_core.training.captured_step import (
    CapturedStep,
    CUDAGraphStep,
    TorchScriptStep,
    override_options,
    preserve_state,
)
from tests.support.steps import BATCH, CPU, SETTINGS, batch, new_step, numbers, same

all_settings = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


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
            with preserve_state(step.model, step.optimizer, CPU):
                step(*batch())
                assert not same(numbers(step), before)
        step(*batch())
        step(*batch())
    assert same(numbers(warmed), numbers(plain))


def test_warm_up_is_undone_in_the_tensors_that_a_replay_will_use() -> None:
    step = new_step(**SETTINGS["momentum"])
    with preserve_state(step.model, step.optimizer, CPU):
        step(*batch())
        used = [values["momentum_buffer"].data_ptr() for values in step.optimizer.state.values()]
    step(*batch())
    assert used == [values["momentum_buffer"].data_ptr() for values in step.optimizer.state.values()]


@all_settings
@pytest.mark.parametrize("way", [CUDAGraphStep, TorchScriptStep])
def test_learning_rate_in_a_tensor_gives_the_bits_of_the_same_number(
    settings: dict[str, Any], way: type[CapturedStep]
) -> None:
    in_tensor, as_number = new_step(**settings), new_step(**settings)
    rate = torch.tensor(0.001 / 3, dtype=way.rate_dtype)
    torch.manual_seed(3)
    with override_options(in_tensor.optimizer, lr=rate):
        in_tensor(*batch())
    torch.manual_seed(3)
    with override_options(as_number.optimizer, lr=rate.item()):
        as_number(*batch())
    assert same(numbers(in_tensor), numbers(as_number))


@all_settings
def test_what_is_saved_of_an_optimizer_never_tells_of_a_capture(settings: dict[str, Any]) -> None:
    step = new_step(**settings)
    before = step.optimizer.state_dict()["param_groups"]
    with pytest.raises(KeyError), override_options(step.optimizer, lr=torch.tensor(0.1), capturable=True):
        raise KeyError
    assert step.optimizer.state_dict()["param_groups"] == before
    assert isinstance(before[0]["lr"], float)


@pytest.mark.parametrize("way", [CUDAGraphStep, TorchScriptStep])
def test_smaller_batch_is_the_step_itself(way: type[CapturedStep]) -> None:
    replayed, plain = new_step(), new_step()
    loss = way(replayed, BATCH, CPU)(*batch(BATCH - 1))
    assert torch.equal(loss, plain(*batch(BATCH - 1)))
    assert same(numbers(replayed), numbers(plain))
