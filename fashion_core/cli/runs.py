"""The commands about runs: train, resume, compare, continue, stop, runs, audit, show, delete."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from fashion_core.access import audit
from fashion_core.access.gate import Actions, from_command_line
from fashion_core.cli.files import given_settings, print_json
from fashion_core.cli.follow import follow, outcome
from fashion_core.errors import ConfigError, DamagedFileError, DiskError, RunNotFoundError, printable
from fashion_core.resume import comparison, plan, resumptions
from fashion_core.resume.labels import SAME, percent
from fashion_core.resume.resumptions import ResumeRequest
from fashion_core.runs import machine
from fashion_core.runs.run import Run
from fashion_core.runs.schema import UNDER_WAY_STATES
from fashion_core.runs.store import RunStore, epoch_number, run_record


def train_run(options: argparse.Namespace) -> None:
    """Start a run and follow it to its end.

    Raises ``ConfigError``, what ``Actions.start`` raises, and what a run that fails says.
    """
    config = machine.preset_config(options.preset, given_settings(options))
    store = RunStore()
    actions = from_command_line(store)
    run = actions.start(config)
    _caution([run])
    _follow_to_the_end(actions, run, options.json)


def resume_run(options: argparse.Namespace) -> None:
    """Start the runs that go on from these epochs, and follow one after the other.

    Raises ``ConfigError``, ``RunNotFoundError``, what ``Actions.resume`` raises, and what a run that fails says.
    """
    store = RunStore()
    parent = store.get(options.run)
    overrides = {name: value for name, value in given_settings(options).items() if name != "epochs"}
    epochs = _epochs(options.epoch, parent)
    wishes = [ResumeRequest(epoch, _additional(options.epochs, parent, epoch), overrides) for epoch in epochs]
    if not options.json:
        for planned in resumptions.plan(parent, wishes):
            reasons = map(printable, planned.judgement.reasons)
            print(f"from epoch {planned.epoch}: {'; '.join([planned.judgement.verdict, *reasons])}")
    actions = from_command_line(store)
    runs = actions.resume(parent, wishes)
    _caution(runs)
    for run in runs:
        _follow(actions, run, options.json)
    if options.json:
        print_json(run_record(runs[0]) if len(runs) == 1 else [run_record(run) for run in runs])
    for run in runs:
        outcome(run)


def _caution(runs: Iterable[Run]) -> None:
    """About what they will be slow at, in nobody's way who reads JSON."""
    for caution in machine.precision_cautions(
        (run.record.config.precision, run.record.environment.device) for run in runs
    ):
        print(caution, file=sys.stderr)


def _epochs(text: str, parent: Run) -> list[int]:
    if text == "all":
        return parent.epochs_saved() or [0]  # which is then refused with a sentence
    epochs: dict[int, None] = {}
    for epoch in map(epoch_number, text.split(",")):
        if epoch is None:
            raise ConfigError(f"Epoch should be a number such as 0, several as 0,2,5, or all, not {text!r}.")
        plan.check_epoch(parent, epoch, parent.epochs_saved())
        epochs[epoch] = None
    return list(epochs)


def _additional(given: int | None, parent: Run, epoch: int) -> int:
    return plan.planned_epochs(parent, epoch) if given is None else given


def compare_runs(options: argparse.Namespace) -> None:
    """One line for each resumed run: did it help? Raises ``DiskError``."""
    rows = comparison.compare(RunStore())
    if options.json:
        print_json([comparison.as_record(row) for row in rows])
        return
    print(comparison.sentence(rows))
    for row in rows:
        print(_compare_line(row))


def _compare_line(row: comparison.Compared) -> str:
    what = ", ".join(row.overrides) or SAME
    gate = "loss_last" if row.check.comparable else "loss right after loading"
    parent = f"{printable(row.parent_name)}{'' if row.parent_exists else ' (deleted)'}"
    return f"{row.run}  {parent} epoch {row.epoch}: {gate} {row.gate:.4f}, loss_now {_loss_now(row)}  {what}"


def _loss_now(row: comparison.Compared) -> str:
    if row.latest is None:
        return "no epoch yet" if row.state in UNDER_WAY_STATES else f"none, {row.state} without an epoch"
    change = percent(comparison.relative_change(row, row.latest))
    return f"{row.latest.loss:.4f} ({change}, {row.latest.answer})"


def continue_run(options: argparse.Namespace) -> None:
    """Raises ``RunNotFoundError``, what ``Actions.continue_run`` raises, and what a run that fails says."""
    actions = from_command_line(RunStore())
    run = actions.store.get(options.run)
    actions.continue_run(run)
    _follow_to_the_end(actions, run, options.json)


def _follow_to_the_end(actions: Actions, run: Run, as_json: bool) -> None:
    _follow(actions, run, as_json)
    if as_json:
        print_json(run_record(run))
    outcome(run)


def _follow(actions: Actions, run: Run, as_json: bool) -> None:
    def say(text: str) -> None:
        if not as_json:
            tqdm.write(text)

    say(f"run {run.id} in {run.path}")
    follow(actions, run, say)


def stop_run(options: argparse.Namespace) -> None:
    """Raises ``RunNotFoundError``, and what ``Actions.stop`` raises."""
    store = RunStore()
    run = store.get(options.run)
    from_command_line(store).stop(run)
    if options.json:
        print_json(run_record(run))


def list_runs(options: argparse.Namespace) -> None:
    """A damaged run is one line or record among the others. Raises ``DiskError``."""
    records = [_record_or_problem(run) for run in RunStore().runs()]
    if options.json:
        print_json(records)
    for record in () if options.json else records:
        print(_run_line(record))
    if not options.json and not records:
        print("No runs yet: `python -m fashion_core train` makes one.")


def _record_or_problem(run: Run) -> dict[str, Any]:
    try:
        return run_record(run)
    except (DamagedFileError, DiskError) as error:
        return {"id": run.id, "path": str(run.path), "state": "damaged", "error": str(error)}


def _run_line(record: dict[str, Any]) -> str:
    if record["state"] == "damaged":
        return f"{record['id']}  damaged   {record['error']}"
    config, epochs = record["config"], record["epochs"]
    planned = config["epochs"] - (record["parent"]["epoch"] + 1 if record["parent"] else 0)
    result = _result(epochs[-1]) if epochs else ""
    progress = "" if record["source"] else f"{len(epochs)}/{planned} epochs"
    name = printable(record["name"])
    return f"{record['id']}  {record['state']:<8}  {config['dataset']:<13}  {progress}  {result}  {name}"


def _result(epoch: dict[str, Any]) -> str:
    loss, accuracy = epoch["loss"], epoch["accuracy"]
    parts = ("" if loss is None else f"loss {loss:.4f}", "" if accuracy is None else f"accuracy {accuracy:.2%}")
    return "  ".join(filter(None, parts)) or "loss unknown"


def show_audit(options: argparse.Namespace) -> None:
    """The lines of a deleted run stay, so its id need not be that of a run any more. Raises ``RunNotFoundError``."""
    found = [line for line in audit.read(RunStore().root) if (line.run or "").startswith(options.run or "")]
    if options.run and not found:
        raise RunNotFoundError(f"No line is about a run whose id begins with {options.run!r}.")
    if options.json:
        print_json([asdict(line) for line in found])
        return
    for line in found:
        print(f"{line.when}  {line.who}  {line.what}  {line.run or '-'}  {line.detail or '-'}  {line.outcome}")


def show_run(options: argparse.Namespace) -> None:
    """Raises ``RunNotFoundError``, ``DamagedFileError`` or ``DiskError``."""
    record = run_record(RunStore().get(options.run))
    if options.json:
        print_json(record)
        return
    print(_run_line(record))
    if record["parent"]:
        print(f"  resumed from: {_parent_line(record)}")
    for key, value in record["config"].items():
        print(f"  {key}: {value}")
    for epoch in record["epochs"]:
        print(f"epoch {epoch['epoch']}: {_result(epoch)}")
    if record["error"]:
        print(f"error: {record['error']}")


def _parent_line(record: dict[str, Any]) -> str:
    parent, resumption = record["parent"], record["resumption"]
    line = f"epoch {parent['epoch']} of {parent['run']}"
    return f"{line} ({printable(resumption['parent_name'])}), {resumption['verdict']}" if resumption else line


def delete_saved(options: argparse.Namespace) -> None:
    """A run, or one of its checkpoints. Raises ``RunNotFoundError``, and what ``Actions.delete`` raises."""
    store = RunStore()
    run = store.get(options.run)
    file = None if options.epoch is None else run.checkpoint_path(options.epoch)
    from_command_line(store).delete(run, file, force=options.force)
    if options.json:
        print_json({"run": run.id, "epoch": options.epoch, "deleted": True})
