"""What it costs to list 5,000 checkpoints: the script of the page, which reads only their JSON facts."""

import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from streamlit.testing.v1 import AppTest

from fashion_core import frames
from fashion_core.config import parse_config
from fashion_core.runs import Run, RunStore
from fashion_core.schema import Environment, Facts, Status

from . import Comparison, alternate

RUNS, EPOCHS = 250, 20
ROUNDS = 7
CONTENT = b"no checkpoint"
APP = Path(__file__).resolve().parent.parent.parent / "app.py"


def fill(store: RunStore) -> None:
    """Runs of 20 epochs, each with a small file and its facts, as training names them; nothing is flushed to disk."""
    environment = Environment(python="3", torch="2", device="cpu", threads=1)
    for number in range(RUNS):
        config = parse_config({"name": f"run {number}", "epochs": EPOCHS})
        store.create(config, environment, fill=fill_run)


def fill_run(run: Run) -> None:
    """Twenty checkpoints and a status."""
    for epoch in range(EPOCHS):
        path = run.checkpoint_path(epoch)
        path.write_bytes(CONTENT)
        facts = Facts(
            format="checkpoint",
            sha256="0" * 64,
            bytes=len(CONTENT),
            epoch=epoch,
            loss=1 / (epoch + 1),
            accuracy=0.5,
            seconds=0.0,
            created=datetime.now(UTC),
            why="epoch",
        )
        run.facts_path(path).write_text(facts.model_dump_json(indent=2))
    run.write_status(Status(state="finished", queued_at=0, heartbeat=0, epoch=EPOCHS))


def read_every_json(store: RunStore) -> None:
    """The least that any listing does: read the facts' bytes."""
    for path in store.root.glob("*/model_save/*.json"):
        path.read_bytes()


def run() -> Comparison:
    """The page's script from its first line to its last, and the frame alone, beside a bare read of the same JSON."""
    with TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as folder:
        os.environ["FASHION_RUNS"] = folder
        store = RunStore()
        fill(store)
        page = AppTest.from_file(str(APP), default_timeout=60).switch_page("pages/checkpoints.py").run()
        listed = len(page.dataframe[0].value)
        assert not page.exception
        assert listed == RUNS * EPOCHS
        ways = {
            "read the JSON": lambda: read_every_json(store),
            "frames.saved_frame": lambda: frames.saved_frame(store),
            "the page": lambda: page.run(),
        }
        return Comparison(f"List {listed:,} checkpoints of {RUNS} runs", "read the JSON", alternate(ways, ROUNDS))
