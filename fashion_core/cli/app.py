"""The command that starts the dashboard: ``app``."""

import argparse
import os
import subprocess
import sys
from typing import Any

from fashion_core.config import APP
from fashion_core.runs.processes import start_errors


def add_commands(commands: Any) -> None:
    help_text = "start the dashboard; what follows is for `streamlit run`, as in `app --server.port 8502`"
    app = commands.add_parser("app", help=help_text, add_help=False, prefix_chars="\0")  # takes every flag as it is
    app.add_argument("options", nargs="*")
    app.set_defaults(command=start_app)


def start_app(options: argparse.Namespace) -> None:
    """Become ``streamlit run``: a supervisor's signals reach the server itself.

    ``-P``: of the folder that it is started from nothing is imported, whatever its files are called.
    """
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(APP), *options.options]
    with start_errors():
        if os.name == "nt":  # where the process that is replaced would seem to have ended
            sys.exit(subprocess.run(command).returncode)
        os.execv(command[0], command)
