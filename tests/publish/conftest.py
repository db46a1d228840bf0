"""A run and one resumed from it, trained once for all tests here; their names and environments are a stranger's."""

from typing import NamedTuple

import pytest

from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.runs import finish, resume, trained

HOSTILE = "<script>alert('1')</script>|a|b [x](http://evil.example) **b** @bob www.evil.example --- {{ 7 * 7 }} \"'"

WORDS = ("python", "torch", "device", "processor", "mkl")


class Family(NamedTuple):
    store: RunStore
    parent: Run
    child: Run


@pytest.fixture(scope="module")
def family(module_store: RunStore) -> Family:
    parent = trained(module_store, epochs=2, optimizer="adam")
    child = finish(resume(module_store, parent, 1, 1, learning_rate=1e-4))
    notes = "<img src=x onerror=alert(1)>\n</section>"
    for run in (parent, child):
        run.write_labels(run.labels.model_copy(update={"name": HOSTILE, "notes": notes, "tags": ("<b>tag",)}))
        environment = run.record.environment.model_copy(update=dict.fromkeys(WORDS, HOSTILE))
        run.write_record(run.record.model_copy(update={"environment": environment}))
    return Family(module_store, parent, child)
