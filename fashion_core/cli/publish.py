"""The commands that make what others read: publish, report. They draw charts, so what they need is imported late."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from fashion_core import files
from fashion_core.cli.answer import add_command, answer
from fashion_core.runs.store import RunStore


def add_commands(commands: Any) -> None:
    help_text = "make a folder for the Hugging Face Hub: weights, config.json, a model card and its pictures"
    hub = add_command(commands, "publish", publish, help_text)
    hub.add_argument("run")
    hub.add_argument("epoch", type=int)
    hub.add_argument("out", type=Path, help="a folder that does not exist yet or is empty")
    license = "under which others may use it, as the Hub names it, such as apache-2.0 (default: none; the card says so)"
    hub.add_argument("--license", help=license)
    help_text = "write a report on runs as one HTML file that needs no network and prints well"
    made = add_command(commands, "report", report, help_text)
    made.add_argument("runs", nargs="+", metavar="RUN")
    made.add_argument("out", type=Path, help="a file that does not exist yet, such as report.html")


def publish(options: argparse.Namespace) -> None:
    from fashion_core.publish import hub

    store = RunStore()
    run = store.get(options.run)
    out = files.working_folder() / options.out  # a name also where that is "."
    made = hub.publish(store, run, options.epoch, out, options.license)
    record = {"run": run.id, "epoch": options.epoch, "path": str(out), "files": made}
    lines = (f"{options.out / name}: sha256 {sha256}" for name, sha256 in made.items())
    answer(options, record, [*lines, f"To publish it: hf upload NAME/MODEL {shlex.quote(str(options.out))} ."])


def report(options: argparse.Namespace) -> None:
    from fashion_core.publish import report as reports

    store = RunStore()
    runs = [*{run.id: run for run in map(store.get, options.runs)}.values()]
    digest = reports.write(store, runs, options.out)
    record = {"runs": [run.id for run in runs], "path": str(options.out.absolute())}
    made = f"{options.out}: {digest.bytes:,} bytes, sha256 {digest.sha256}"
    answer(options, {**record, "bytes": digest.bytes, "sha256": digest.sha256}, [made])
