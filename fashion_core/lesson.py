"""The two runs that carry out the lesson: two epochs, and one more from checkpoint 0."""

from collections.abc import Mapping
from typing import Any

from fashion_core import jobs
from fashion_core.config import TrainConfig, parse_config
from fashion_core.errors import RunStateError
from fashion_core.runs import Run, RunStore
from fashion_core.schema import Labels

TAG = "lesson"
RESUMED_EPOCH = 0


def begin(store: RunStore, given: Mapping[str, Any]) -> Run:
    """Start the lesson's first run: the tutorial's settings, two epochs. Raises what ``jobs.start`` raises."""
    config = lesson_config(given)
    run = jobs.start(store, config)
    run.write_labels(Labels(name=config.title, tags=(TAG,)))
    return run


def lesson_config(given: Mapping[str, Any]) -> TrainConfig:
    """The tutorial's settings on the chosen dataset and pixels. Raises ``ConfigError``."""
    return parse_config({"name": "Lesson", **given})


def resumed_run(store: RunStore, run: Run) -> Run | None:
    """The run that was resumed from checkpoint 0, if it has begun."""
    return min(store.children(run, RESUMED_EPOCH), key=lambda child: child.id, default=None)


def last_run(store: RunStore, run: Run) -> Run:
    """The resumed run once it has finished. Raises ``RunStateError`` before that."""
    child = resumed_run(store, run)
    if child is None or child.state() != "finished":
        raise RunStateError(f"The lesson of run {run.id} has not come to its end yet.")
    return child


def go_on(store: RunStore, run: Run) -> Run | None:
    """Begin the last step once the first run has finished; two pages that ask at once begin it once.

    Raises what ``jobs.resume`` raises.
    """
    if run.state() != "finished" or resumed_run(store, run):
        return resumed_run(store, run)
    with run.writing():
        child = resumed_run(store, run) or jobs.create_resumed(
            store, run, RESUMED_EPOCH, 1, {"name": "Lesson, resumed"}
        )
    jobs.advance(store)
    return child
