"""The commands that tell about runs: runs, show, compare, audit."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fashion_core.access import audit
from fashion_core.cli.answer import answer, say
from fashion_core.config import COMMAND
from fashion_core.data.description import images_label
from fashion_core.errors import (
    DamagedFileError,
    DiskError,
    RunNotFoundError,
    counted,
    printable,
)
from fashion_core.resume import answers, comparison
from fashion_core.resume.labels import percent
from fashion_core.resume.texts import SAME_SETTINGS
from fashion_core.runs.index.index import AT_ONCE
from fashion_core.runs.index.row import DAMAGED, IMPORTED, Row, read_row
from fashion_core.runs.launchers import engines
from fashion_core.runs.run import Run, run_record
from fashion_core.runs.schema import CONTINUABLE_STATES, UNDER_WAY_STATES, epoch_text
from fashion_core.runs.store import RunStore
from fashion_core.training import torchrun

_TRANSFER = "  tensors: {kept:,} kept, {new:,} new, {left:,} left behind"
_FROZEN_ONE = "  frozen: {count:,} tensor, which training leaves as it is"
_FROZEN_MANY = "  frozen: {count:,} tensors, which training leaves as they are"
_RESTARTED_ONE = "  restarted: once, as one of its processes had died"
_RESTARTED_MANY = "  restarted: {count} times, as one of its processes had died"


def list_runs(options: argparse.Namespace) -> None:
    """A damaged run is one line or record among the others; JSON, which programs read, has them all."""
    store = RunStore()
    records = list(map(_record_or_damage, store.runs())) if options.json else []
    answer(options, records, _run_lines(store, options.all))
    if not (options.json or options.all) and (count := len(store.ids())) > AT_ONCE:
        say(f"These are the newest {AT_ONCE:,} of {count:,} runs; --all lists every one.")


def _record_or_damage(run: Run) -> dict[str, Any]:
    try:
        return run_record(run)
    except (DamagedFileError, DiskError) as error:
        return {"id": run.id, "path": str(run.path), "state": DAMAGED, "error": str(error)}


def _run_lines(store: RunStore, every: bool) -> Iterator[str]:
    if not store.ids():
        yield f"No runs yet: `{COMMAND} train` makes one."
    for row in _indexed_rows(store) if every else map(read_row, store.newest()):
        yield _run_line(row, store.at(row.id).state() if row.state == "running" else row.state)


def _indexed_rows(store: RunStore) -> Iterator[Row]:
    store.index.refresh(whole=True, every=True)
    return filter(None, map(store.index.row, store.index.ids))


def _run_line(row: Row, state: str) -> str:
    if state == DAMAGED:
        return f"{row.id}  damaged   {row.error}"
    progress = "" if row.epochs == IMPORTED else row.epochs
    result = _result(*row.ended) if row.ended else ""
    return f"{row.id}  {state:<8}  {row.dataset:<13}  {progress}  {result}  {printable(row.name)}"


def _epoch_text(record: dict[str, Any], epoch: int | None) -> str:
    first = record["parent"]["epoch"] + 1 if record["parent"] else 0
    return epoch_text(epoch, range(first, record["config"]["epochs"]))


def _result(loss: float | None, accuracy: float | None) -> str:
    known = ((loss, "loss {:.4f}"), (accuracy, "accuracy {:.2%}"))
    return "  ".join(text.format(value) for value, text in known if value is not None) or "loss unknown"


def show_audit(options: argparse.Namespace) -> None:
    """Print the audit, matching ids against its lines, which outlive deleted runs."""
    found = [line for line in audit.read(RunStore().root) if (line.run or "").startswith(options.run or "")]
    if options.run and not found:
        raise RunNotFoundError(f"The audit has no line about a run whose id begins with {options.run!r}.")
    told = ((line.when, line.who, line.what, line.run or "-", line.detail or "-", line.outcome) for line in found)
    answer(options, [asdict(line) for line in found], ("  ".join(map(str, parts)) for parts in told))


def show_run(options: argparse.Namespace) -> None:
    run = RunStore().get(options.run)
    record, lines = run_record(run), [_run_line(read_row(run), run.state())]
    if parent := record["parent"]:
        line, resumption = f"  resumed from: epoch {parent['epoch']} of {parent['run']}", record["resumption"]
        known = f" ({printable(resumption['parent_name'])}), {resumption['verdict']}" if resumption else ""
        lines.append(f"{line}{known}")
        if resumption and resumption["transfer"]:
            lines.append(_TRANSFER.format(**_counts(resumption["transfer"])))
    if record["frozen"]:
        lines.append(counted(len(record["frozen"]), _FROZEN_ONE, _FROZEN_MANY))
    lines += (f"  {key}: {value}" for key, value in record["config"].items())
    if record["model_sha256"]:
        lines.append(f"  model source: SHA-256 {record['model_sha256']}, kept as {run.model_source_path}")
    lines += (
        f"{_epoch_text(record, epoch['epoch'])}: {_result(epoch['loss'], epoch['accuracy'])}"
        for epoch in record["epochs"]
    )
    if record["restarts"]:
        lines.append(counted(record["restarts"], _RESTARTED_ONE, _RESTARTED_MANY))
    if record["error"]:
        lines.append(f"error: {record['error']}")
    if record["state"] == "queued" and (problem := engines.problem()):
        lines.append(f"waiting: {problem}")
    if record["state"] in CONTINUABLE_STATES and run.record.config.processes > 1:
        lines.append(f"on several hosts: {torchrun.command(run.id)}")
    answer(options, record, lines)


def _counts(transfer: Mapping[str, Any]) -> dict[str, int]:
    return {"kept": transfer["kept"], **{name: len(transfer[name]) for name in ("new", "left")}}


def compare_runs(options: argparse.Namespace) -> None:
    rows = comparison.compare(RunStore())
    means = {one.row.seed_group: asdict(one.over_seeds) for one in answers.answered(rows) if one.over_seeds}
    records = [{**comparison.as_record(row), "over_seeds": means.get(row.seed_group)} for row in rows]
    answer(options, records, _compare_lines(rows))


def _compare_lines(rows: Sequence[comparison.Compared]) -> Iterator[str]:
    """The answer and the runs of each dataset."""
    if not rows:
        yield f"No run has been resumed yet: `{COMMAND} resume RUN EPOCH` resumes one."
    for dataset, own in comparison.by_dataset(rows).items():
        yield f"{images_label(dataset)}: {answers.sentence(own)}"
        yield from answers.answers_over_seeds(own)
        yield from map(_compare_line, own)


def _compare_line(row: comparison.Compared) -> str:
    parent = f"{printable(row.parent_name)}{'' if row.parent_exists else ' (deleted)'} epoch {row.epoch}"
    last = f"{'loss_last' if row.check.comparable else 'loss right after loading'} {row.loss_last:.4f}"
    if row.latest:
        change = percent(comparison.relative_change(row, row.latest))
        now = f"{row.latest.loss:.4f} ({change}, {row.said(row.latest)})"
    else:
        now = "no epoch yet" if row.state in UNDER_WAY_STATES else f"none, {row.state} without an epoch"
    return f"{row.run}  {parent}: {last}, loss_now {now}  {', '.join(row.overrides) or SAME_SETTINGS}"
