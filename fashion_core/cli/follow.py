"""Watch a run from a terminal until it ends: a progress bar, and a line for each epoch."""

import time
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Never

from tqdm import tqdm

from fashion_core.access.gate import Actions
from fashion_core.errors import RunStateError
from fashion_core.runs import metrics, queue
from fashion_core.runs.run import Run
from fashion_core.runs.schema import ACTIVE_STATES, State, Status
from fashion_core.runs.store import RunStore

_POLL_SECONDS = 0.1


def follow(actions: Actions, run: Run, say: Callable[[str], None]) -> State:
    """Wait until the run is no longer queued or running; Ctrl-C asks it to stop. Gives the state it ended in.

    ``say`` gets a line for each epoch that ends; the bar goes to standard error, and only if that is a terminal.
    """
    record = run.record
    follower = metrics.Follower(run.metrics_path)
    told = _tell_epochs(follower, -1, lambda _: None)
    total = (record.config.epochs - record.first_epoch) * record.config.batches_per_epoch
    bar: tqdm[Never] = tqdm(total=total, unit="batch", disable=None, leave=False)
    with bar:
        while True:
            try:
                state = _look(actions.store, run, bar)
                told = _tell_epochs(follower, told, say)
                if state != "queued" and state not in ACTIVE_STATES:
                    return state
                time.sleep(_POLL_SECONDS)
            except KeyboardInterrupt:
                with suppress(RunStateError):  # it has just ended by itself
                    actions.stop(run)


def _look(store: RunStore, run: Run, bar: "tqdm[Never]") -> State:
    status = run.status
    state = run.state(status)
    if state == "queued":
        queue.advance(store)
    bar.set_description(_describe(state, status))
    record = run.record
    bar.n = max(0, status.epoch - record.first_epoch) * record.config.batches_per_epoch + status.batch
    bar.refresh()
    return state


def _describe(state: State, status: Status) -> str:
    return f"{state}, epoch {status.epoch}" if state in ACTIVE_STATES else state


def _tell_epochs(follower: metrics.Follower, told: int, say: Callable[[str], None]) -> int:
    """Say what is known of each epoch after ``told``; gives the last one."""
    for row in chain.from_iterable(follower.new_rows()):
        if row["kind"] == "epoch" and row["epoch"] > told:
            told = row["epoch"]
            say(
                f"epoch {told}: test loss {row['loss']:.4f}, accuracy {row['accuracy']:.2%}, "
                f"training loss {row['train_loss']:.4f}, {row['seconds']:.1f} s"
            )
    return told


def outcome(run: Run) -> None:
    """Raises ``RunStateError`` with the sentence to show unless the run has finished."""
    status = run.status
    state = run.state(status)
    if state == "failed":
        raise RunStateError(f"Run {run.id} failed: {status.error}")
    if state != "finished":
        raise RunStateError(f"Run {run.id} is {state}; continue it with `python -m fashion_core continue {run.id}`.")
