"""The crash drill: kill the worker of a run that trains, continue the run, and compare it with an undisturbed twin."""

import argparse
import time
from dataclasses import asdict
from typing import Final

from fashion_core.access import gate
from fashion_core.cli.answer import answer, say
from fashion_core.cli.runs import check_finished, signals_explained, wait_for
from fashion_core.config import COMMAND
from fashion_core.errors import RunNotFoundError, RunStateError
from fashion_core.resume import drill
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore

_LOST: Final = f"Run {{run}} is lost; continue it with `{COMMAND} continue {{run}}`."
_NO_TWIN: Final = "Run {run} finished, but it has no undisturbed twin to compare with."
_NO_TWIN_WITHOUT_PARENT: Final = (
    "Run {run} finished, but it has no undisturbed twin to compare with: the checkpoint that it was resumed from is "
    "gone or damaged."
)


def drill_run(options: argparse.Namespace) -> None:
    """Raises ``RunStateError`` if the run does not train on this machine, does not finish, or ends in other bits.

    ``RunNotFoundError`` if it has no twin.
    """
    actions = gate.from_command_line(RunStore())
    run = actions.store.get(options.run)
    with signals_explained() as runs:
        runs += [run]
        _kill_and_continue(actions, run)
        runs += _twin(actions.store, run)
        wait_for(options, actions, [run], stops=False)
        check_finished([run])
        runs[1:] = _twin(actions.store, run)  # that of somebody else who continued the run may have come later
        wait_for(options, actions, runs[1:], stops=False)
        check_finished(runs)
    found = drill.compare(*runs) if len(runs) > 1 else None
    if found is None:
        text = _NO_TWIN if drill.can_begin_again(actions.store, run) else _NO_TWIN_WITHOUT_PARENT
        raise RunNotFoundError(text.format(run=run.id))
    lines = (f"undisturbed twin: {runs[-1].id}", f"same bits: {'yes' if found.same else 'no'}")
    answer(options, {"run": run.id, "twin": runs[-1].id, **asdict(found)}, lines)
    if not found.same:
        raise RunStateError(f"Run {run.id} did not end in the bits of its undisturbed twin {runs[-1].id}.")


def _kill_and_continue(actions: gate.Actions, run: Run) -> None:
    """Continue the run once it is due, unless somebody else does; if that fails or is interrupted, say what is left."""
    try:
        actions.crash(run)
        while drill.is_pending(run) and not actions.continue_drill(run):
            time.sleep(0.1)
    finally:
        if drill.is_pending(run):
            say(f"fashion_core: {_LOST.format(run=run.id)}")


def _twin(store: RunStore, run: Run) -> list[Run]:
    return [*filter(None, [drill.twin(store, run)])]
