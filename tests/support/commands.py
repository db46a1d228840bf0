"""Commands of the command line, run in this process: what they print, and what they are refused with."""

import json
from typing import Any

import pytest

from fashion_core.cli.main import main

Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *arguments: object, status: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main([*map(str, arguments)]) == status
    return capsys.readouterr()


def refused(capsys: Capture, *arguments: str) -> str:
    out, error = printed(capsys, *arguments, status=1)
    assert out == ""
    assert error.startswith("fashion_core: ")
    assert error.count("\n") == 1
    return error.removeprefix("fashion_core: ").strip()


def answered(capsys: Capture, *arguments: object) -> Any:
    out, error = printed(capsys, *arguments, "--json")
    assert error == ""
    return json.loads(out)
