"""The rows of what was measured: every loss, steps that go on through a resume, and whose runs are among them."""

import json
import math
import shutil
import tracemalloc
from typing import Any

import pytest

from fashion_core.errors import DamagedFileError
from fashion_core.publish.metrics import rows
from fashion_core.runs import metrics
from fashion_core.runs.schema import Parent
from fashion_core.runs.store import RunStore
from tests.publish.metrics.conftest import Family
from tests.support.runs import batch_row, config, copied, new_run


def test_steps_of_a_resumed_run_go_on_from_its_checkpoint(family: Family) -> None:
    """The parent has 5 batches an epoch, and so 10 steps behind its checkpoint of epoch 1; the child has 10 each."""
    parent, child = (
        [row for row in rows.read(family.store, run) if row.kind == "step"] for run in (family.parent, family.child)
    )
    assert [row.step for row in parent] == [*range(1, 16)]
    assert [row.step for row in child] == [*range(11, 31)]
    assert [row.epoch for row in child] == [2] * 10 + [3] * 10


def test_every_loss_is_there_as_it_was_noted(family: Family) -> None:
    noted = metrics.read_rows(family.child.metrics_path)
    found = [*rows.read(family.store, family.child)]
    losses = [loss for row in noted if row["kind"] == "batch" for loss in row["losses"]]
    assert [row.train_loss for row in found if row.kind == "step"] == losses
    ended = [row for row in noted if row["kind"] == "epoch"]
    measured = [(row["epoch"], row["loss"], row["accuracy"], row["train_loss"], row["time"]) for row in ended]
    epochs = [row for row in found if row.kind == "epoch"]
    assert [(row.epoch, row.test_loss, row.accuracy, row.train_loss, row.time) for row in epochs] == measured
    assert [row.step for row in epochs] == [20, 30]
    assert {(row.run, row.parent, row.parent_epoch) for row in found} == {(family.child.id, family.parent.id, 1)}


def test_learning_rate_is_that_of_each_step(family: Family) -> None:
    settings = family.child.record.config
    found = [row for row in rows.read(family.store, family.child) if row.kind == "step"]
    assert [row.learning_rate for row in found] == [settings.learning_rate_at(step) for step in range(20, 40)]
    assert {row.learning_rate for row in rows.read(family.store, family.parent)} == {0.001}


def test_cosine_begins_at_the_learning_rate_and_ends_near_zero() -> None:
    settings = config(schedule="cosine", learning_rate=0.5, epochs=2, batch_size=100)
    assert settings.learning_rate_at(0) == 0.5
    assert settings.learning_rate_at(5) == pytest.approx(0.25)
    assert 0 < settings.learning_rate_at(9) < 0.02


@pytest.mark.parametrize(
    "changed",
    [
        {"time": 1e300},
        {"time": math.nan},
        {"epoch": 10**30},
        {"epoch": 1},
        {"accuracy": ["x"]},
        {"kind": "batch", "batch": 3, "losses": [1.0] * 5},
        {"kind": "batch", "batch": 3, "losses": ["x"]},
    ],
    ids=str,
)
def test_row_that_is_none_as_this_app_writes_is_told_and_the_rest_is_read(
    family: Family, store: RunStore, changed: dict[str, Any]
) -> None:
    """The run was resumed from epoch 1, so that none of its rows is of an epoch before 2."""
    child = copied(family.child, store)
    shutil.copytree(family.parent.path, store.root / family.parent.id)
    before = [*rows.read(store, child)]
    rows.check(child)
    metrics.append_row(child.metrics_path, metrics.read_rows(child.metrics_path)[-1] | changed)
    count = len(metrics.read_rows(child.metrics_path))
    with pytest.raises(DamagedFileError, match=f"1 of its {count} rows can't be read and is skipped"):
        rows.check(child)
    assert [*rows.read(store, child)] == before


def test_checking_the_rows_of_a_long_run_takes_memory_for_a_piece_of_them(store: RunStore) -> None:
    run = new_run(store)
    line = json.dumps(batch_row(0, 99, [0.1234567890123456] * 100)).encode() + b"\n"
    run.metrics_path.write_bytes(line * ((24 << 20) // len(line)))
    tracemalloc.start()
    try:
        rows.check(run)
        assert tracemalloc.get_traced_memory()[1] < 48 << 20
    finally:
        tracemalloc.stop()


def test_ancestors_come_first_and_once(family: Family) -> None:
    found = family.store.with_ancestors([family.child, family.parent, family.child])
    assert [run.id for run in found] == [family.parent.id, family.child.id]


def test_run_whose_parent_is_gone_is_told_and_counts_as_if_that_had_had_its_batches(
    family: Family, store: RunStore
) -> None:
    child = copied(family.child, store)
    assert rows.lost_parents(store, [child]) == {child.id: family.parent.id}
    assert rows.steps_before(store, child) == 20


def test_runs_that_name_each_other_as_parents_end(store: RunStore) -> None:
    run = new_run(store)
    run.write_record(run.record.model_copy(update={"parent": Parent(run=run.id, epoch=0)}))
    assert store.with_ancestors([run]) == [run]


def test_tests_stand_over_steps_and_over_epochs(family: Family) -> None:
    found = [*rows.points(rows.read(family.store, family.child))]
    losses = {tag: [(p.step, p.value) for p in found if p.tag == tag] for tag in ("step/test_loss", "epoch/test_loss")}
    assert [step for step, _ in losses["step/test_loss"]] == [20, 30]
    assert [epoch for epoch, _ in losses["epoch/test_loss"]] == [2, 3]
    assert [value for _, value in losses["step/test_loss"]] == [value for _, value in losses["epoch/test_loss"]]
