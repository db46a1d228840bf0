"""What every command does: take the settings that were given as flags, and print one answer."""

import argparse
import json
from collections.abc import Iterable
from typing import Any

from fashion_core.config import settings


def given_settings(options: argparse.Namespace) -> dict[str, str]:
    return {setting.name: getattr(options, setting.name) for setting in settings() if hasattr(options, setting.name)}


def answer(options: argparse.Namespace, document: Any, lines: Iterable[str]) -> None:
    """Print the document as JSON if ``--json`` was given; otherwise the lines, which are made only then."""
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        for line in lines:
            print(line)
