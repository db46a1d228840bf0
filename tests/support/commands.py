"""Commands of the command line, run in this process: what they print, and what they are refused with."""

import json
from typing import Any

import pytest

from fashion_core.cli.main import main

Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *arguments: str) -> str:
    """The one line that a command is refused with."""
    capsys.readouterr()
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("fashion_core: ")
    assert printed.err.count("\n") == 1
    return printed.err.removeprefix("fashion_core: ").strip()


def answered(capsys: Capture, *arguments: object) -> Any:
    """The one JSON document that a command prints."""
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def printed(capsys: Capture, *arguments: object) -> tuple[str, str]:
    """What a command writes to standard output and to standard error."""
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 0
    return capsys.readouterr()
