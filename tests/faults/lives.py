"""The run that is disturbed, the one that is not, what must be the same in the end, and the tally of both."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from fashion_core import files
from fashion_core.formats import save
from fashion_core.runs import metrics, queue
from fashion_core.runs.processes import ProcessId
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore

ASKED = 8
"""How often a worker looks for a stop request in an epoch."""
SURVIVED = "survived"


def settings(full: bool) -> dict[str, Any]:
    """Of the runs that are disturbed: a checkpoint goes when there is a better one."""
    return {"epochs": 3 if full else 2, "keep": "best and last", "momentum": 0.9}


@dataclass(frozen=True)
class Tally:
    """How many rounds a test makes, and its line in the table at the end."""

    full: bool
    test: pytest.Item

    def rounds(self, few: int, many: int) -> int:
        return many if self.full else few

    def survived(self, line: str) -> None:
        """What was broken, how often, and with what result."""
        self.test.user_properties.append((SURVIVED, line))


def continue_run(store: RunStore, run: Run) -> None:
    if run.state() == "queued":
        queue.advance(store)
    else:
        queue.continue_run(store, run)


def start_worker(store: RunStore, run: Run) -> ProcessId:
    continue_run(store, run)
    worker = run.status.process
    assert worker is not None
    return worker


def losses(run: Run) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for row in metrics.read_rows(run.metrics_path):
        if row["kind"] == "epoch":
            found.append((row["epoch"], row["loss"], row["accuracy"], row["train_loss"]))
        else:
            first = row["batch"] - len(row["losses"]) + 1
            found += [(row["epoch"], first + at, loss) for at, loss in enumerate(row["losses"])]
    return found


def assert_same_end(run: Run, straight: Run) -> None:
    assert run.state() == "finished"
    assert losses(run) == losses(straight)
    assert run.epochs_saved() == straight.epochs_saved()
    expected, found = (torch.load(one.weights_path, weights_only=True) for one in (straight, run))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    names, expected_names = ([one.name_of(file) for file in one.saved_files()] for one in (run, straight))
    assert names == expected_names
    assert all(run.is_whole(file) for file in run.saved_files())
    assert not list(run.path.rglob(f"{files.TEMPORARY_PREFIX}*")), "a temporary file stays behind"
    assert not run.stop_path.exists()


def assert_listed_are_whole(run: Run) -> int:
    for file in run.saved_files():
        assert run.is_whole(file), f"{run.name_of(file)} is listed and damaged"
        epoch = run.epoch_of(file)
        assert epoch is None or save.load_checkpoint(file)["epoch"] == epoch
    return len(run.saved_files())
