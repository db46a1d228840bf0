"""The commands that carry metrics elsewhere and train a run again: export-metrics, reproduce."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, Final

from fashion_core.access import gate
from fashion_core.cli.answer import add_command, answer, as_typed, given_settings, say
from fashion_core.cli.runs import check_finished, signals_explained, wait_for
from fashion_core.config import settings
from fashion_core.errors import ConfigError, DamagedFileError, RunStateError, counted, printable
from fashion_core.publish.metrics import mlflow_runs, rows, tables, tensorboard
from fashion_core.resume import reasons
from fashion_core.resume.again import reproduce
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore

_ROWS_ONE: Final = "{out}: {count:,} row, of {runs}"
_ROWS_MANY: Final = "{out}: {count:,} rows, of {runs}"
_RUNS_ONE: Final = "{count:,} run"
_RUNS_MANY: Final = "{count:,} runs"
_SENT: Final = "{run}: {metrics:,} numbers, {written:,} of them sent now, as MLflow run {mlflow_run}"
_WITHOUT_MODEL: Final = "{run}: without its newest checkpoint. {without_model}"
_NO_RUN: Final = "Name a run, or --all."
_EMPTY: Final = "There is no run in {root}: set FASHION_RUNS to the store whose runs you mean."
_AGAIN: Final = "trained again: {again}"
_NOT_THE_SAME: Final = "Run {again}, which trained {run} again, is {difference}."
_LOST: Final = "{parent}, which {run} was resumed from, is gone: steps are counted as if its batches had been as large."


def add_commands(commands: Any) -> None:
    help_text = "write what runs measured, and what they were resumed from, for TensorBoard, MLflow or as a table"
    parser = add_command(commands, "export-metrics", export_metrics, help_text)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--all", action="store_true", help="every run of the store")
    to = parser.add_mutually_exclusive_group(required=True)
    to.add_argument("--tensorboard", type=Path, metavar="DIR", help="a folder for each run in this one")
    to.add_argument("--csv", type=Path, metavar="FILE", help="a row for each step and each epoch")
    to.add_argument("--parquet", type=Path, metavar="FILE", help="the same rows")
    to.add_argument("--mlflow", type=as_typed, metavar="URI", help="a server, such as http://localhost:5000")
    other = "a Python that has MLflow or mlflow-skinny (default: FASHION_MLFLOW_PYTHON, or this one)"
    parser.add_argument("--mlflow-python", metavar="PYTHON", help=other)
    help_text = "train a finished run again, and say whether it is identical or which epoch differs first"
    parser = add_command(commands, "reproduce", reproduce_run, help_text)
    parser.add_argument("run", metavar="RUN")
    for setting in settings():
        if setting.name in ("seed", "device", "threads"):
            help_text = f"another {setting.label.lower()} than the run had"
            parser.add_argument(setting.flag, dest=setting.name, default=argparse.SUPPRESS, help=help_text)


def export_metrics(options: argparse.Namespace) -> None:
    """Raises ``ConfigError`` if no run is named."""
    store = RunStore()
    named = _readable(store.runs()) if options.all else [store.get(run) for run in options.runs]
    if not named:
        raise ConfigError(_EMPTY.format(root=printable(str(store.root))) if options.all else _NO_RUN)
    runs = store.with_ancestors(named)
    for one in runs:
        with _damage_said():
            rows.check(one)
    for run, parent in rows.lost_parents(store, runs).items():
        say(_LOST.format(parent=parent, run=run))
    if options.tensorboard:
        _write_folders(options, store, runs)
    elif options.mlflow:
        _send(options, store, runs)
    else:
        _write_table(options, store, runs)


def _readable(runs: Sequence[Run]) -> list[Run]:
    """Those whose record can be read; of each other one, say why not."""
    found = []
    for run in runs:
        with _damage_said():
            found += [run] if run.record else []
    return found


@contextmanager
def _damage_said() -> Iterator[None]:
    try:
        yield
    except DamagedFileError as error:
        say(str(error))


def _write_folders(options: argparse.Namespace, store: RunStore, runs: Sequence[Run]) -> None:
    folders = tensorboard.write(store, runs, options.tensorboard)
    found = [{"run": run.id, "path": str(path.absolute())} for run, path in zip(runs, folders, strict=True)]
    answer(options, found, map(str, folders))


def _write_table(options: argparse.Namespace, store: RunStore, runs: Sequence[Run]) -> None:
    out, write = (options.csv, tables.write_csv) if options.csv else (options.parquet, tables.write_parquet)
    count = write(chain.from_iterable(rows.read(store, run) for run in runs), out)
    told = counted(len(runs), _RUNS_ONE, _RUNS_MANY)
    line = counted(count, _ROWS_ONE, _ROWS_MANY, out=out, runs=told)
    answer(options, {"path": str(out.absolute()), "rows": count, "runs": [run.id for run in runs]}, [line])


def _send(options: argparse.Namespace, store: RunStore, runs: Sequence[Run]) -> None:
    python = mlflow_runs.python_with_mlflow(options.mlflow_python)
    sent = mlflow_runs.send(store, runs, options.mlflow, python)
    if options.json:
        answer(options, list(sent), ())
    else:
        answer(options, None, _sent_lines(sent))


def _sent_lines(sent: Iterator[dict[str, Any]]) -> Iterator[str]:
    for one in sent:
        yield _SENT.format(**one)
        if one["without_model"]:
            yield _WITHOUT_MODEL.format(**one)


def reproduce_run(options: argparse.Namespace) -> None:
    """Raises ``RunStateError`` if the run does not finish, or not in the same bits."""
    actions = gate.from_command_line(RunStore())
    run = actions.store.get(options.run)
    with signals_explained() as runs:
        runs += [actions.reproduce(run, given_settings(options))]
        wait_for(options, actions, runs)
        check_finished(runs)
    [again] = runs
    found = reproduce.compare(run, again)
    told = reproduce.told(found)
    document = {"run": run.id, "reproduction": again.id, **asdict(found), "reasons": reasons.texts(found.reasons)}
    answer(options, document, [_AGAIN.format(again=again.id), told])
    if not found.identical:
        raise RunStateError(_NOT_THE_SAME.format(again=again.id, run=run.id, difference=told))
