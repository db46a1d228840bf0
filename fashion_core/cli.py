"""The command line: every page's job without a browser."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from fashion_core import dataset_files, jobs
from fashion_core.config import PRESETS, Setting, parse_config, settings
from fashion_core.errors import DamagedFileError, DiskError, FashionError
from fashion_core.follow import follow, outcome
from fashion_core.records import run_record
from fashion_core.runs import Run, RunStore

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Gives the exit status: 0 done, 1 a problem to mend; wrong usage exits with 2 by itself."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except FashionError as error:
        print(f"fashion_core: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fashion_core: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fashion_core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = _add(commands, "train", _train, "train a run to its end, with a progress bar")
    train.add_argument("--preset", choices=PRESETS, default="seed", help="the settings to begin from")
    for setting in settings():
        _add_flag(train, setting)
    _add(commands, "continue", _continue, "go on with a stopped, failed or lost run, in place").add_argument("run")
    _add(commands, "stop", _stop, "ask a run to stop after the batch in hand").add_argument("run")
    _add(commands, "runs", _runs, "list all runs, the newest first")
    _add(commands, "show", _show, "one run: its settings and its epochs").add_argument("run")
    delete = _add(commands, "delete", _delete, "delete a run, or the checkpoint of one epoch")
    delete.add_argument("run")
    delete.add_argument("epoch", nargs="?", type=int)
    delete.add_argument("--force", action="store_true", help="even if other runs were resumed from it")
    _add(commands, "download", _download, "fetch Fashion-MNIST (30 MB) into FASHION_DATA")
    _add(commands, "devices", _devices, "what this machine can train on")
    model = _add(commands, "model", _model, "print a model and its layers")
    model.add_argument("name", choices=next(s.choices for s in settings() if s.name == "model"))
    worker = commands.add_parser("worker")  # for this package's own use: it has no line in the help
    worker.add_argument("run")
    worker.set_defaults(command=_worker)
    return parser


def _add(commands: Any, name: str, command: Command, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=description, description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(command=command)
    return parser


def _add_flag(parser: argparse.ArgumentParser, setting: Setting) -> None:
    """The value stays text: ``parse_config`` checks it, and says what is wrong in one sentence."""
    unit = f" [{setting.unit}]" if setting.unit else ""
    default = f" (default: {setting.default})" if setting.default != "" else ""
    metavar = "{" + ",".join(setting.choices) + "}" if setting.choices else setting.kind.__name__.upper()
    help_text = f"{setting.explanation}{unit}{default}".replace("%", "%%")
    parser.add_argument(setting.flag, dest=setting.name, metavar=metavar, help=help_text, default=argparse.SUPPRESS)


def _train(options: argparse.Namespace) -> None:
    given = {setting.name: getattr(options, setting.name) for setting in settings() if hasattr(options, setting.name)}
    config = parse_config({**PRESETS[options.preset].values, **given})
    store = RunStore()
    run = jobs.start(store, config)
    _follow_to_the_end(store, run, options.json)


def _continue(options: argparse.Namespace) -> None:
    store = RunStore()
    run = store.get(options.run)
    jobs.go_on(store, run)
    _follow_to_the_end(store, run, options.json)


def _follow_to_the_end(store: RunStore, run: Run, as_json: bool) -> None:
    def say(text: str) -> None:
        if not as_json:
            tqdm.write(text)

    say(f"run {run.id} in {run.path}")
    follow(store, run, say)
    if as_json:
        _print_json(run_record(run))
    outcome(run)


def _stop(options: argparse.Namespace) -> None:
    run = RunStore().get(options.run)
    jobs.stop(run)
    if options.json:
        _print_json(run_record(run))


def _runs(options: argparse.Namespace) -> None:
    records = [_record_or_problem(run) for run in RunStore().runs()]
    if options.json:
        _print_json(records)
    for record in () if options.json else records:
        print(_run_line(record))


def _record_or_problem(run: Run) -> dict[str, Any]:
    try:
        return run_record(run)
    except (DamagedFileError, DiskError) as error:
        return {"id": run.id, "path": str(run.path), "state": "damaged", "error": str(error)}


def _run_line(record: dict[str, Any]) -> str:
    if record["state"] == "damaged":
        return f"{record['id']}  damaged   {record['error']}"
    config, epochs = record["config"], record["epochs"]
    result = f"loss {epochs[-1]['loss']:.4f}  accuracy {epochs[-1]['accuracy']:.2%}" if epochs else ""
    progress = f"{len(epochs)}/{config['epochs']} epochs"
    return f"{record['id']}  {record['state']:<8}  {config['dataset']:<13}  {progress}  {result}  {record['name']}"


def _show(options: argparse.Namespace) -> None:
    record = run_record(RunStore().get(options.run))
    if options.json:
        _print_json(record)
        return
    print(_run_line(record))
    for key, value in record["config"].items():
        print(f"  {key}: {value}")
    for epoch in record["epochs"]:
        print(f"epoch {epoch['epoch']}: test loss {epoch['loss']:.4f}, accuracy {epoch['accuracy']:.2%}")
    if record["error"]:
        print(f"error: {record['error']}")


def _delete(options: argparse.Namespace) -> None:
    store = RunStore()
    run = store.get(options.run)
    store.delete(run, options.epoch, force=options.force)
    if options.json:
        _print_json({"run": run.id, "epoch": options.epoch, "deleted": True})


def _download(options: argparse.Namespace) -> None:
    with tqdm(total=dataset_files.TOTAL_BYTES, unit="B", unit_scale=True, disable=None) as bar:

        def show(done: int, _total: int) -> None:
            bar.n = done
            bar.refresh()

        dataset_files.download(show)
    where = str(dataset_files.raw_folder())
    print(json.dumps({"path": where}) if options.json else f"Fashion-MNIST is in {where}")


def _devices(options: argparse.Namespace) -> None:
    from fashion_core import devices  # torch, which the other commands need not wait for

    answer = devices.describe()
    if options.json:
        _print_json(answer)
        return
    for name, text in answer["devices"].items():
        print(f"{name}: {text}" + (" (auto)" if name == answer["automatic"] else ""))


def _model(options: argparse.Namespace) -> None:
    from fashion_core import models

    answer = models.describe(options.name)
    if options.json:
        _print_json(answer)
        return
    print(answer["text"])
    for layer in answer["layers"]:
        print(f"{layer['name']:<28} {layer['kind']:<18} {layer['output_shape']!s:<14} {layer['parameters']:>10,}")


def _worker(options: argparse.Namespace) -> None:
    from fashion_core.worker import work

    store = RunStore()
    given = True
    try:
        given = work(store.get(options.run))
    finally:
        if given:
            jobs.advance(store)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))
