"""Commands of the command line, run in this process: what they print, and what they are refused with."""

import json
from typing import Any

import pytest

from fashion_core.cli.main import main

Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *arguments: object, status: int = 0) -> tuple[str, str]:
    """What a command writes to standard output and to standard error."""
    capsys.readouterr()
    assert main([*map(str, arguments)]) == status
    return capsys.readouterr()


def refused(capsys: Capture, *arguments: str) -> str:
    """The one line that a command is refused with."""
    out, error = printed(capsys, *arguments, status=1)
    assert out == ""
    assert error.startswith("fashion_core: ")
    assert error.count("\n") == 1
    return error.removeprefix("fashion_core: ").strip()


def answered(capsys: Capture, *arguments: object) -> Any:
    """The one JSON document that a command prints."""
    out, error = printed(capsys, *arguments, "--json")
    assert error == ""
    return json.loads(out)
