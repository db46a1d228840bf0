"""The command line: every page's job without a browser."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fashion_core import audit, comparison, dataset_files, file_commands, resuming, resumptions
from fashion_core.actions import Actions, from_command_line
from fashion_core.config import PRESETS, Setting, parse_config, settings
from fashion_core.errors import ConfigError, DamagedFileError, DiskError, FashionError, RunNotFoundError
from fashion_core.file_commands import print_json
from fashion_core.follow import follow, outcome
from fashion_core.records import run_record
from fashion_core.resumptions import Wish
from fashion_core.run_folders import Run
from fashion_core.runs import RunStore, epoch_number
from fashion_core.schema import EXPORT_NAMES

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Gives the exit status: 0 done, 1 a problem to mend; wrong usage exits with 2 by itself."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except FashionError as error:
        print(f"fashion_core: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    resume = _add(commands, "resume", _resume, "a run that goes on from a checkpoint; its flags override the parent's")
    resume.add_argument("run")
    resume.add_argument("epoch", help="the epoch of the checkpoint, several as 0,2,5, or all")
    resume.add_argument(
        "--epochs", type=int, help="additional epochs (default: as many as its run had left, at least 1)"
    )
    for setting in settings():
        if setting.name != "epochs":
            _add_flag(resume, setting, default=False)
    _add(commands, "audit", _audit, "who did what, and when").add_argument("run", nargs="?")
    _add(commands, "compare", _compare, "did resuming help: loss_last and loss_now of each resumed run")
    _add(commands, "continue", _continue, "go on with a stopped, failed or lost run, in place").add_argument("run")
    _add(commands, "stop", _stop, "ask a run to stop after the batch in hand").add_argument("run")
    _add(commands, "runs", _runs, "list all runs, the newest first")
    _add(commands, "show", _show, "one run: its settings and its epochs").add_argument("run")
    delete = _add(commands, "delete", _delete, "delete a run, or the checkpoint of one epoch")
    delete.add_argument("run")
    delete.add_argument("epoch", nargs="?", type=int)
    delete.add_argument("--force", action="store_true", help="even if other runs were resumed from it")
    _add_file_commands(commands)
    _add(commands, "download", _download, "fetch Fashion-MNIST (30 MB) into FASHION_DATA")
    _add(commands, "devices", _devices, "what this machine can train on")
    model = _add(commands, "model", _model, "print a model and its layers")
    model.add_argument("name", choices=next(s.choices for s in settings() if s.name == "model"))
    steps = _add(commands, "lesson", _lesson, "run the tutorial's snippets on a finished run of its model")
    steps.add_argument("run")
    steps.add_argument("--losses", action="store_true", help="loss_last and loss_now on training and test images")
    commands.add_parser("predictor").set_defaults(command=_predictor)  # the server's own: it has no line in the help
    return parser


def _add_file_commands(commands: Any) -> None:
    look = _add(commands, "inspect", file_commands.inspect, "what is in a file, without running anything in it")
    look.add_argument("file", type=Path)
    look.add_argument("--numbers", action="store_true", help="read all its numbers, however large it is")
    bring = _add(commands, "import", file_commands.bring_in, "bring a file in as a run of its own")
    for_server = commands.add_parser("importer")  # the server's own: it has asked and noted who wants that
    for_server.set_defaults(command=file_commands.bring_in_for_server)
    for_server.add_argument("--json", action="store_true")
    for parser in (bring, for_server):
        parser.add_argument("file", type=Path)
        parser.add_argument("--file-name", help="what to call it; by default its own name")
        for setting in settings():
            if setting.name in ("dataset", "pixels"):
                _add_flag(parser, setting)
    export = _add(commands, "export", file_commands.export, "write a checkpoint to a file in another format")
    export.add_argument("run")
    export.add_argument("epoch", type=int)
    export.add_argument("out", type=Path)
    export.add_argument("--format", choices=EXPORT_NAMES, required=True)
    ways = _add(commands, "formats", file_commands.five_ways, "one checkpoint in all formats: sizes, times, outputs")
    ways.add_argument("run")
    ways.add_argument("epoch", type=int)
    _add_predict_commands(commands)
    verify = _add(commands, "verify", file_commands.verify, "compare every saved file with its recorded digest")
    verify.add_argument("run", nargs="?")


def _add_predict_commands(commands: Any) -> None:
    use = _add(commands, "predict", _predict, "what a file's model says about images of your own")
    use.add_argument("file", type=Path, help="any saved file: weights, whole model, checkpoint, safetensors or pt2")
    use.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="PNG, JPEG, WebP, GIF, BMP or TIFF; if one of them can't be read, that is said and none is answered",
    )
    measure = _add(commands, "evaluate", _evaluate, "how good a file's model is on all test images")
    measure.add_argument("file", type=Path, help="any saved file")
    for setting in settings():
        if setting.name in ("pixels", "device"):
            _add_flag(use, setting, default=False)
        if setting.name in ("dataset", "pixels", "device"):
            _add_flag(measure, setting, default=False)


def _add(commands: Any, name: str, command: Command, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=description, description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(command=command)
    return parser


def _add_flag(parser: argparse.ArgumentParser, setting: Setting, default: bool = True) -> None:
    """The value stays text: ``parse_config`` checks it, and says what is wrong in one sentence."""
    unit = f" [{setting.unit}]" if setting.unit else ""
    default_text = f" (default: {setting.default})" if default and setting.default != "" else ""
    metavar = "{" + ",".join(setting.choices) + "}" if setting.choices else setting.kind.__name__.upper()
    help_text = f"{setting.explanation}{unit}{default_text}".replace("%", "%%")
    parser.add_argument(setting.flag, dest=setting.name, metavar=metavar, help=help_text, default=argparse.SUPPRESS)


def _given(options: argparse.Namespace) -> dict[str, str]:
    """The settings that were given as flags."""
    return {setting.name: getattr(options, setting.name) for setting in settings() if hasattr(options, setting.name)}


def _train(options: argparse.Namespace) -> None:
    config = parse_config({**PRESETS[options.preset].values, **_given(options)})
    store = RunStore()
    actions = from_command_line(store)
    _follow_to_the_end(actions, actions.start(config), options.json)


def _resume(options: argparse.Namespace) -> None:
    store = RunStore()
    parent = store.get(options.run)
    overrides = {name: value for name, value in _given(options).items() if name != "epochs"}
    epochs = _epochs(options.epoch, parent)
    wishes = [Wish(epoch, _additional(options.epochs, parent, epoch), overrides) for epoch in epochs]
    if not options.json:
        for planned in resumptions.plan(parent, wishes):
            print(f"from epoch {planned.epoch}: {'; '.join([planned.judgement.verdict, *planned.judgement.reasons])}")
    actions = from_command_line(store)
    runs = actions.resume(parent, wishes)
    for run in runs:
        _follow(actions, run, options.json)
    if options.json:
        print_json(run_record(runs[0]) if len(runs) == 1 else [run_record(run) for run in runs])
    for run in runs:
        outcome(run)


def _epochs(text: str, parent: Run) -> list[int]:
    if text == "all":
        return parent.epochs_saved() or [0]  # which is then refused with a sentence
    epochs: dict[int, None] = {}
    for epoch in map(epoch_number, text.split(",")):
        if epoch is None:
            raise ConfigError(f"Epoch should be a number such as 0, several as 0,2,5, or all, not {text!r}.")
        resuming.check_epoch(parent, epoch)
        epochs[epoch] = None
    return list(epochs)


def _additional(given: int | None, parent: Run, epoch: int) -> int:
    return resuming.planned_epochs(parent, epoch) if given is None else given


def _compare(options: argparse.Namespace) -> None:
    rows = comparison.compare(RunStore())
    if options.json:
        print_json([comparison.as_record(row) for row in rows])
        return
    print(comparison.sentence(rows))
    for row in rows:
        print(_compare_line(row))


def _compare_line(row: comparison.Compared) -> str:
    now = row.latest
    change = f"{now.loss:.4f} ({comparison.relative_change(row, now):+.1%}, {now.answer})" if now else "no epoch yet"
    what = ", ".join(row.overrides) or "same settings"
    gate = "loss_last" if row.check.comparable else "loss right after loading"
    return f"{row.run}  {row.parent_name} epoch {row.epoch}: {gate} {row.gate:.4f}, loss_now {change}  {what}"


def _continue(options: argparse.Namespace) -> None:
    actions = from_command_line(RunStore())
    run = actions.store.get(options.run)
    actions.go_on(run)
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


def _stop(options: argparse.Namespace) -> None:
    store = RunStore()
    run = store.get(options.run)
    from_command_line(store).stop(run)
    if options.json:
        print_json(run_record(run))


def _runs(options: argparse.Namespace) -> None:
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
    return f"{record['id']}  {record['state']:<8}  {config['dataset']:<13}  {progress}  {result}  {record['name']}"


def _result(epoch: dict[str, Any]) -> str:
    loss, accuracy = epoch["loss"], epoch["accuracy"]
    parts = ("" if loss is None else f"loss {loss:.4f}", "" if accuracy is None else f"accuracy {accuracy:.2%}")
    return "  ".join(filter(None, parts)) or "loss unknown"


def _audit(options: argparse.Namespace) -> None:
    """The lines of a deleted run stay, so its id need not be that of a run any more."""
    found = [line for line in audit.read(RunStore().root) if (line.run or "").startswith(options.run or "")]
    if options.run and not found:
        raise RunNotFoundError(f"No line is about a run whose id begins with {options.run!r}.")
    if options.json:
        print_json([asdict(line) for line in found])
        return
    for line in found:
        print(f"{line.when}  {line.who}  {line.what}  {line.run or '-'}  {line.detail or '-'}  {line.outcome}")


def _show(options: argparse.Namespace) -> None:
    record = run_record(RunStore().get(options.run))
    if options.json:
        print_json(record)
        return
    print(_run_line(record))
    for key, value in record["config"].items():
        print(f"  {key}: {value}")
    for epoch in record["epochs"]:
        print(f"epoch {epoch['epoch']}: {_result(epoch)}")
    if record["error"]:
        print(f"error: {record['error']}")


def _delete(options: argparse.Namespace) -> None:
    store = RunStore()
    run = store.get(options.run)
    file = None if options.epoch is None else run.checkpoint_path(options.epoch)
    from_command_line(store).delete(run, file, force=options.force)
    if options.json:
        print_json({"run": run.id, "epoch": options.epoch, "deleted": True})


def _download(options: argparse.Namespace) -> None:
    with tqdm(total=dataset_files.TOTAL_BYTES, unit="B", unit_scale=True, disable=None) as bar:

        def show(done: int, _total: int) -> None:
            bar.n = done
            bar.refresh()

        from_command_line(RunStore()).download(show)
    where = str(dataset_files.raw_folder())
    print(json.dumps({"path": where}) if options.json else f"Fashion-MNIST is in {where}")


def _devices(options: argparse.Namespace) -> None:
    from fashion_core import devices  # torch, which the other commands need not wait for

    answer = devices.describe()
    if options.json:
        print_json(answer)
        return
    for name, text in answer["devices"].items():
        print(f"{name}: {text}" + (" (auto)" if name == answer["automatic"] else ""))


def _model(options: argparse.Namespace) -> None:
    from fashion_core import models

    answer = models.describe(options.name)
    if options.json:
        print_json(answer)
        return
    print(answer["text"])
    for layer in answer["layers"]:
        print(f"{layer['name']:<28} {layer['kind']:<18} {layer['output_shape']!s:<14} {layer['parameters']:>10,}")


def _lesson(options: argparse.Namespace) -> None:
    from fashion_core import lesson, lesson_outputs

    store = RunStore()
    run = store.get(options.run)
    answer = lesson_outputs.losses(run, lesson.last_run(store, run)) if options.losses else lesson_outputs.outputs(run)
    if options.json:
        print_json(answer)
        return
    for name, found in answer.items():
        print(f"--- {name}", *(f"{key}: {value}" for key, value in found.items()), sep="\n")


def _predict(options: argparse.Namespace) -> None:
    from fashion_core import predict_commands

    predict_commands.predict_images(options, _given(options))


def _evaluate(options: argparse.Namespace) -> None:
    from fashion_core import predict_commands

    predict_commands.evaluate(options, _given(options))


def _predictor(options: argparse.Namespace) -> None:
    from fashion_core import predict_worker

    predict_worker.serve()
