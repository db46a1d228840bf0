"""Run a Dockerfile's own commands without Docker: in a fresh environment, whose folder stands for the image's root."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import ROOT, wait_until

PLACES = ("src", "data", "app")
"""What the Dockerfile makes in the root; another machine's folders of these names are left alone."""


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Its instructions in order, each with what follows the word."""
    text = re.sub(r"(?m)^#.*\n", "", path.read_text()).replace("\\\n", " ")
    return [(word, rest.strip()) for line in text.splitlines() if line for word, _, rest in [line.partition(" ")]]


@dataclass
class Image:
    """What the instructions have made so far; ``root`` stands for /, and 8501 for ``port``."""

    context: Path
    root: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"
    start: tuple[str, ...] = ()
    health: str = ""

    def build(self, **arguments: str) -> None:
        make_python(self.root)
        for word, rest in read_lines(self.context / "Dockerfile"):
            getattr(self, f"_{word.lower()}")(rest, arguments)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", self.here(command)], cwd=self.here(self.folder), env=self.variables(), capture_output=True,
            text=True, timeout=240,
        )  # fmt: skip

    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FASHION_", "STREAMLIT_"))}
        return {**kept, **self.environment, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"}

    @contextmanager
    def serving(self, folder: Path, **more: str) -> Iterator[str]:
        """The address at which its CMD answers while inside, to this machine alone, whatever the Dockerfile says."""
        loopback = {"STREAMLIT_SERVER_ADDRESS": "127.0.0.1", "STREAMLIT_SERVER_PORT": str(self.port)}
        command = [str(self.root / "bin" / self.start[0]), *self.start[1:]]
        with (folder / "log").open("ab") as log:
            variables = {**self.variables(), **loopback, **more}
            server = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)
        try:
            wait_until(lambda: self.run(self.health).returncode == 0, "the health check passes", 30)
            yield f"http://127.0.0.1:{self.port}"
        finally:
            server.terminate()
            server.wait(timeout=10)

    def here(self, text: str) -> str:
        return re.sub(rf"(?<![\w/.])/({'|'.join(PLACES)})\b", rf"{self.root}/\1", text).replace("8501", str(self.port))

    def _from(self, rest: str, _given: dict[str, str]) -> None:
        assert re.fullmatch(r"python:3\.\d+-slim", rest)

    def _arg(self, rest: str, given: dict[str, str]) -> None:
        name, _, default = rest.partition("=")
        self.environment[name] = given.get(name, default)

    def _env(self, rest: str, _given: dict[str, str]) -> None:
        self.environment |= dict(self.here(pair).split("=", 1) for pair in rest.split())

    def _workdir(self, rest: str, _given: dict[str, str]) -> None:
        self.folder = rest
        Path(self.here(rest)).mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str, _given: dict[str, str]) -> None:
        source, _ = rest.split()
        names = context_names() if source == "." else [source]
        for name in names:
            one, other = self.context / name, Path(self.here(self.folder)) / name
            other.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(one, other, dirs_exist_ok=True) if one.is_dir() else shutil.copy(one, other)

    def _run(self, rest: str, _given: dict[str, str]) -> None:
        done = self.run(rest)
        assert done.returncode == 0, done.stdout + done.stderr

    def _user(self, rest: str, _given: dict[str, str]) -> None:
        self.user = rest

    def _volume(self, rest: str, _given: dict[str, str]) -> None:
        assert Path(self.here(rest)).stat().st_mode & 0o7777 == 0o1777, "whoever the container runs as may write there"

    def _expose(self, rest: str, _given: dict[str, str]) -> None:
        assert rest == "8501"

    def _healthcheck(self, rest: str, _given: dict[str, str]) -> None:
        self.health = rest.partition("CMD ")[2]

    def _cmd(self, rest: str, _given: dict[str, str]) -> None:
        self.start = tuple(json.loads(rest))


def make_python(root: Path) -> None:
    """A fresh environment that has beforehand what the tests' own has, pip too: it need not fetch gigabytes."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    [packages] = root.glob("lib/python3*/site-packages")
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib"))


def context_names() -> list[str]:
    """What .dockerignore lets into the build, all else being shut out."""
    first, *others = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert first == "*"
    return [line.removeprefix("!") for line in others if line.startswith("!")]
