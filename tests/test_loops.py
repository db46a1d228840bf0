"""The optimizers that settings name, and what they take over."""

from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from fashion_core.loops import make_optimizer, restore_optimizer, step
from fashion_core.models import NeuralNetwork
from tests.support.runs import config


def test_optimizer_is_the_one_that_the_settings_name() -> None:
    for name, kind in (("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")):
        assert type(make_optimizer(config(optimizer=name), NeuralNetwork())).__name__ == kind
    with pytest.raises(KeyError, match="rmsprop"):
        make_optimizer(config().model_copy(update={"optimizer": "rmsprop"}), NeuralNetwork())


def stepped(optimizer: Optimizer) -> dict[str, Any]:
    """The state after one step with gradients of one."""
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    step(optimizer)
    return optimizer.state_dict()


def sgd(momentum: float) -> Optimizer:
    return make_optimizer(config(momentum=momentum), NeuralNetwork())


def names_kept(optimizer: Optimizer) -> set[str]:
    return {name for values in optimizer.state.values() for name in values}


def test_momentum_outlives_no_run_without_momentum() -> None:
    """It would wait there for a later one: a direction of long ago, at full speed."""
    without = sgd(0.0)
    restore_optimizer(without, stepped(sgd(0.9)))
    assert names_kept(without) == set()
    again = sgd(0.9)
    restore_optimizer(again, stepped(without))
    assert names_kept(again) == set()


def test_momentum_that_an_earlier_version_left_in_a_run_without_momentum_is_not_taken_over() -> None:
    state = stepped(sgd(0.9))
    state["param_groups"][0]["momentum"] = 0
    again = sgd(0.9)
    restore_optimizer(again, state)
    assert names_kept(again) == set()


def test_momentum_goes_on_with_momentum() -> None:
    again = sgd(0.5)
    restore_optimizer(again, stepped(sgd(0.9)))
    assert all(torch.equal(values["momentum_buffer"], torch.ones_like(p)) for p, values in again.state.items())


def test_what_only_amsgrad_reads_is_not_taken_over() -> None:
    theirs = torch.optim.Adam(NeuralNetwork().parameters(), amsgrad=True)
    for parameter in theirs.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    theirs.step()
    ours = make_optimizer(config(optimizer="adam"), NeuralNetwork())
    restore_optimizer(ours, theirs.state_dict())
    assert names_kept(ours) == {"step", "exp_avg", "exp_avg_sq"}
