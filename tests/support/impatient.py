"""The app that lets go of uploads a second after their owner has left, so that no test waits half a minute for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.serving import Server, serving
from tests.support.processes import ROOT

CHANGE = "from fashion_core.ui.server import uploads; uploads.AWAY_SECONDS = 1.0\n"


@contextmanager
def impatient(folder: Path, **environment: str) -> Iterator[Server]:
    """Its server while inside; all that differs is the constant."""
    app = folder / "app.py"
    app.write_text(CHANGE + (ROOT / "app.py").read_text())
    with serving(folder, app=str(app), PYTHONPATH=str(ROOT), **environment) as server:
        yield server
