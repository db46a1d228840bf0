"""A run of three epochs and one that was resumed from its second, with other batches and a cosine."""

from typing import NamedTuple

import pytest

from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.runs import FEW, new_run, resume, set_finished, train


class Family(NamedTuple):
    store: RunStore
    parent: Run
    child: Run


@pytest.fixture(scope="module")
def family(module_store: RunStore) -> Family:
    parent = new_run(module_store, name="first/one", epochs=3, batch_size=100)
    train(parent, test_images=FEW)
    set_finished(parent)
    child = resume(module_store, parent, 1, 2, batch_size=50, schedule="cosine", learning_rate=0.01)
    train(child, test_images=FEW)
    set_finished(child)
    return Family(module_store, parent, child)
