"""``streamlit run app.py`` as a process of its own, for benchmarks and for tests that drive a browser."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import ROOT, wait_until


class Server:
    """An app on a free port; nothing outside the machine reaches it, unless ``options`` of Streamlit say so.

    ``app`` is the script, from the repository's root; its settings are the repository's.
    """

    def __init__(self, log: Path, *options: str, app: str = "app.py") -> None:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.log = log
        self.options = options
        self.app = app

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "streamlit", "run", self.app, "--server.headless", "true"]
        command += ["--server.port", str(self.port), *self.options]
        env = {**os.environ, **(environment or {})}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            wait_until(self.answers, f"the server answers, see {self.log}", 30)
        except AssertionError:
            self.kill()
            raise

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(folder: Path, *options: str, app: str = "app.py", **environment: str) -> Iterator[Server]:
    """A server while inside; its log is in this folder, and is shown if the inside fails."""
    server = Server(folder / "server.log", *options, app=app)
    server.start(environment)
    try:
        yield server
    except BaseException as error:
        error.add_note(server.log.read_text(errors="replace")[-5000:])
        raise
    finally:
        server.kill()
