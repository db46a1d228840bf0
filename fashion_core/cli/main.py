"""The command line: every page's job without a browser."""

import argparse
import contextlib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Never

from tqdm import tqdm

from fashion_core.cli import app, bundles, data, drill, files, lists, metrics, models, publish, runs
from fashion_core.cli.answer import add_command, as_typed, say
from fashion_core.config import COMMAND, PRESETS, settings
from fashion_core.errors import one_line
from fashion_core.files import REFUSALS, refusal
from fashion_core.runs.schema import EXPORT_NAMES

tqdm.monitor_interval = 0  # bars that need no thread of their own: this user may be allowed no more
SETTINGS = {setting.name: setting for setting in settings()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return the exit status: 0 done, 1 a problem to fix; argparse exits with 2 on wrong usage."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser(given[0] if given else "").parse_args(given, argparse.Namespace(output=sys.stdout))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a team's model prints is no answer
            options.command(options)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        raise
    except REFUSALS as error:
        if (told := refusal(error)) is None:
            raise
        say(f"fashion_core: {told}")
        return 1
    except KeyboardInterrupt:
        say("fashion_core: interrupted")
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        """Quote what was given, which may be any file's name, as one harmless line."""
        super().error(one_line(message))


def _parser(first: str) -> argparse.ArgumentParser:
    """The commands for people; the server's own only where one of them comes first, so that no text lists them."""
    parser = _Parser(prog=COMMAND, description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    own = _add_run_commands, _add_file_commands, _add_model_commands
    added = data, bundles, metrics, publish, app
    for add_commands in (*own, *(module.add_commands for module in added)):
        add_commands(commands)
    if first == "importer":  # called once the gate is passed
        importer = add_command(commands, "importer", files.import_file_for_server, "import a file for the server")
        _add_import_arguments(importer)
    if first == "adder":  # called once the gate is passed
        data.add_for_server_command(commands)
    if first == "unbundler":  # called once the gate is passed
        bundles.add_for_server_command(commands)
    if first == "describe-models":
        describe = add_command(
            commands, "describe-models", models.describe_models, "describe a team's models", "module"
        )
        describe.add_argument("--shape", type=models.shape_of, required=True)
    if first == "predictor":
        add_command(commands, "predictor", models.serve_predictions, "answer the server's questions to models")
    return parser


def _add_run_commands(commands: Any) -> None:
    help_text = "train a run to its end, with a progress bar; Ctrl-C stops it, and SIGTERM ends this command alone"
    train = add_command(commands, "train", runs.train_run, help_text)
    train.add_argument("--preset", choices=PRESETS, default="seed", help="the settings to start from")
    _add_start_flags(train)
    _add_flags(train, SETTINGS, default=True)
    help_text = "resume from a checkpoint as a new run; flags override the parent's settings"
    resume = add_command(commands, "resume", runs.resume_run, help_text, "run")
    resume.add_argument("epoch", help="the epoch of the checkpoint, several as 0,2,5, or all")
    additional = "additional epochs (default: as many as the run had left, at least 1)"
    resume.add_argument("--epochs", type=int, help=additional)
    freeze = "leave the layers that are kept as they are, all but the head; or train those that its parent left"
    resume.add_argument("--freeze", action=argparse.BooleanOptionalAction, help=freeze)
    _add_start_flags(resume)
    _add_flags(resume, SETTINGS.keys() - {"epochs"})
    add_command(commands, "audit", lists.show_audit, "show who did what, and when").add_argument("run", nargs="?")
    add_command(commands, "compare", lists.compare_runs, "show loss_last and loss_now of each resumed run")
    add_command(commands, "continue", runs.continue_in_place, "continue a stopped, failed or lost run in place", "run")
    help_text = "kill the worker of a run that trains, continue it, and compare it with an undisturbed twin"
    add_command(commands, "drill", drill.drill_run, help_text, "run")
    add_command(commands, "stop", runs.stop_run, "ask a run to stop after the current batch", "run")
    listed = add_command(commands, "runs", lists.list_runs, "list the newest 1,000 runs, the newest first")
    listed.add_argument("--all", action="store_true", help="list every run, as --json does in any case")
    add_command(commands, "show", lists.show_run, "show one run: its settings and its epochs", "run")
    delete = add_command(commands, "delete", runs.delete_saved, "delete a run, or the checkpoint of one epoch", "run")
    delete.add_argument("epoch", nargs="?", type=int)
    delete.add_argument("--force", action="store_true", help="delete it even if other runs were resumed from it")


def _add_file_commands(commands: Any) -> None:
    inspect = add_command(commands, "inspect", files.inspect, "show what is in a file, without running anything in it")
    inspect.add_argument("file", type=Path)
    _add_weights_flag(inspect)
    inspect.add_argument("--numbers", action="store_true", help="read every tensor, however large the file is")
    _add_import_arguments(add_command(commands, "import", files.import_file, "import a file as a run of its own"))
    export = add_command(commands, "export", files.export, "write a checkpoint to a file in another format", "run")
    export.add_argument("epoch", type=int)
    export.add_argument("out", type=Path)
    export.add_argument("--format", choices=EXPORT_NAMES, required=True)
    help_text = "save one checkpoint in every format and compare sizes, times and outputs"
    add_command(commands, "formats", files.compare_formats, help_text, "run").add_argument("epoch", type=int)
    verify = add_command(commands, "verify", files.verify, "check every saved file against its recorded SHA-256")
    verify.add_argument("run", nargs="?")


def _add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    _add_weights_flag(parser)
    parser.add_argument("--file-name", type=as_typed, help="the run's name (default: the file's name)")
    _add_flags(parser, {"dataset", "model", "pixels"}, default=True)


def _add_model_commands(commands: Any) -> None:
    predict = add_command(commands, "predict", models.predict_images, "classify your own images with a saved model")
    predict.add_argument("file", type=Path, help="any saved file: weights, whole model, checkpoint, safetensors or pt2")
    kinds = "PNG, JPEG, WebP, GIF, BMP or TIFF; if any can't be read, none is classified"
    predict.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help=kinds)
    _add_weights_flag(predict)
    _add_flags(predict, {"dataset", "pixels", "device"})
    evaluate = add_command(commands, "evaluate", models.evaluate_file, "measure a saved model on all test images")
    evaluate.add_argument("file", type=Path, help="any saved file")
    _add_weights_flag(evaluate)
    _add_flags(evaluate, {"dataset", "pixels", "device"})
    add_command(commands, "download", models.fetch_dataset, "download Fashion-MNIST (30 MB) into FASHION_DATA")
    add_command(commands, "devices", models.list_devices, "list what this machine can train on")
    model = add_command(commands, "model", models.show_model, "print a model and its layers")
    model.add_argument("name", help="mlp, cnn, resnet18, or one that FASHION_MODELS lists")
    model.add_argument("--dataset", default="fashion-mnist", help="whose images and classes it is made for")
    model.add_argument("--shape", type=models.shape_of, help=argparse.SUPPRESS)  # of one that may be gone
    help_text = "run the tutorial's snippets on a finished run of its model"
    lesson = add_command(commands, "lesson", models.run_lesson, help_text, "run")
    lesson.add_argument("--losses", action="store_true", help="loss_last and loss_now on training and test images")


def _add_start_flags(parser: argparse.ArgumentParser) -> None:
    help_text = "make the run and leave it stopped, for `continue` under torchrun, here or on several machines"
    parser.add_argument("--no-start", action="store_true", help=help_text)
    help_text = "repeat with this many seeds, from --seed up, and tell the mean and its 95 %% interval (default: 1)"
    parser.add_argument("--seeds", type=int, default=1, help=help_text)


def _add_weights_flag(parser: argparse.ArgumentParser) -> None:
    help_text = "which weights to use where the file holds several: their key, as inspect lists them under choices"
    parser.add_argument("--weights", metavar="KEY", type=as_typed, help=help_text)


def _add_flags(parser: argparse.ArgumentParser, names: Collection[str], *, default: bool = False) -> None:
    """Add a flag for each setting; its value stays text, which ``parse_config`` checks and explains."""
    for setting in [setting for name, setting in SETTINGS.items() if name in names]:
        default_text = f" (default: {setting.default})" if default and setting.default != "" else ""
        choices = (*setting.choices, "NAME") if setting.name in ("dataset", "model") else setting.choices
        metavar = "{" + ",".join(choices) + "}" if setting.choices else setting.kind.__name__.upper()
        help_text = f"{setting.explanation}{default_text}".replace("%", "%%")
        kind: dict[str, Any] = {"type": as_typed, "metavar": metavar, "default": argparse.SUPPRESS}
        parser.add_argument(setting.flag, dest=setting.name, help=help_text, **kind)
