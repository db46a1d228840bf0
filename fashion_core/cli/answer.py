"""What every command does: take ``--json`` and the settings that were given as flags, and print one answer."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from fashion_core.config import settings
from fashion_core.errors import one_line
from fashion_core.files import disk_error

Command = Callable[[argparse.Namespace], None]


def add_command(
    commands: Any, name: str, command: Command | None, help_text: str, *arguments: str
) -> argparse.ArgumentParser:
    """Add a command with these required arguments, which stay text."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(command=command)
    for argument in arguments:
        parser.add_argument(argument)
    return parser


def given_settings(options: argparse.Namespace) -> dict[str, str]:
    return {setting.name: getattr(options, setting.name) for setting in settings() if hasattr(options, setting.name)}


def as_typed(text: str) -> str:
    """What was given on the command line, read as UTF-8 where it is that: the locale may be one of fewer letters."""
    with suppress(UnicodeError):
        return os.fsencode(text).decode()
    return text


def answer(options: argparse.Namespace, document: Any, lines: Iterable[str]) -> None:
    """Print the document as JSON if ``--json`` was given; otherwise the lines, which are made only then.

    A line that quotes a name is one harmless line whatever the name holds.
    """
    if options.json:
        _print(json.dumps(document, indent=2), options.output)
    else:
        for line in lines:
            _print(one_line(line), options.output)


def _print(text: str, output: TextIO) -> None:
    try:
        print(text, file=output)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise disk_error(error, Path("standard output")) from error


def say(line: str) -> None:
    """Say a line beside the answer, on standard error: standard output holds the answer alone."""
    with suppress(OSError):  # nobody can read it: the terminal is gone
        print(one_line(line), file=sys.stderr, flush=True)
