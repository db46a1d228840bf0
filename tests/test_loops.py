"""The optimizers that settings name."""

import pytest

from fashion_core.loops import make_optimizer
from fashion_core.models import NeuralNetwork
from tests.support.runs import config


def test_optimizer_is_the_one_that_the_settings_name() -> None:
    for name, kind in (("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")):
        assert type(make_optimizer(config(optimizer=name), NeuralNetwork())).__name__ == kind
    with pytest.raises(KeyError, match="rmsprop"):
        make_optimizer(config().model_copy(update={"optimizer": "rmsprop"}), NeuralNetwork())
