"""A run names the machine that it was trained on, also where another had been planned."""

from typing import Any

import pytest
import torch

from fashion_core import devices
from fashion_core.resume import reasons
from fashion_core.runs import torch_process
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Message
from fashion_core.runs.store import RunStore
from tests.support.runs import After, config, new_run, resume, train

HERE = devices.environment_on(torch.device("cpu"))
PROCESSOR = HERE["processor"]
OTHER = "Other CPU (AVX9)"


def planned_on(run: Run, **environment: str | None) -> Run:
    record = run.record
    run.write_record(record.model_copy(update={"environment": record.environment.model_copy(update=environment)}))
    return run


def told_before(run: Run, verdict: str, *why: Message | str) -> None:
    record = run.record
    assert record.resumption is not None
    resumption = record.resumption.model_copy(update={"verdict": verdict, "reasons": why})
    run.write_record(record.model_copy(update={"resumption": resumption}))


def told(run: Run) -> tuple[str, list[str]]:
    assert run.record.resumption is not None
    return run.record.resumption.verdict, reasons.texts(run.record.resumption.reasons)


def test_server_and_worker_name_a_machine_alike() -> None:
    found = torch_process.environment_for(config())
    assert {name: getattr(found, name) for name in HERE} == HERE


def test_machine_that_was_planned_leaves_the_record_as_it_is(store: RunStore) -> None:
    run = planned_on(new_run(store), **HERE)
    before = run.record_path.stat()
    train(run)
    after = run.record_path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_run_that_begins_on_another_machine_than_planned_names_that_one(store: RunStore) -> None:
    run = planned_on(new_run(store), processor=OTHER)
    train(run)
    assert run.record.environment.processor == PROCESSOR


def test_run_that_goes_on_elsewhere_names_it_and_that_there_were_others(store: RunStore) -> None:
    run = new_run(store, epochs=3)
    train(run, After(10))
    planned_on(run, processor=OTHER)
    for _ in range(2):
        train(run, After(10))
        assert run.record.environment.processor == f"{PROCESSOR}, and others before"


def test_what_was_unknown_of_the_first_machine_stays_unknown(store: RunStore) -> None:
    run = new_run(store, epochs=3)
    train(run, After(10))
    planned_on(run, processor=None)
    train(run, After(10))
    assert run.record.environment.processor is None


@pytest.fixture
def parent(store: RunStore) -> Run:
    run = new_run(store)
    train(run)
    return run


def test_exact_resume_that_is_placed_on_another_machine_is_approximate(store: RunStore, parent: Run) -> None:
    child = resume(store, planned_on(parent, processor=OTHER), 0, 1)
    why = [f"processor {OTHER} → {PROCESSOR}: rounding differs"]
    assert told(child) == ("approximate", why)
    told_before(planned_on(child, processor=OTHER), "exact")
    train(child)
    assert told(child) == ("approximate", why)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, ("exact", [])), ({"batch_size": 32}, ("approximate", ["batch size 64 → 32"]))],
)
def test_resume_that_is_placed_where_its_parent_was_differs_by_its_settings_alone(
    store: RunStore, parent: Run, changed: dict[str, Any], expected: tuple[str, list[str]]
) -> None:
    child = resume(store, parent, 0, 1, **changed)
    assert told(child) == expected
    elsewhere = Message(id="processor", values={"before": str(PROCESSOR), "after": OTHER})
    assert child.record.resumption is not None
    told_before(planned_on(child, processor=OTHER), "approximate", *child.record.resumption.reasons, elsewhere)
    train(child)
    assert told(child) == expected
