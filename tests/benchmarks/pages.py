"""What each page costs the server with many runs of 20 checkpoints: from the request to the script's end."""

import asyncio
from collections.abc import Mapping, Sequence

from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.benchmarks import Comparison, disk_folder
from tests.benchmarks.saving import mlp_checkpoint
from tests.benchmarks.serving import Server, serving
from tests.benchmarks.sessions import open_session
from tests.benchmarks.stores import fill, make_old, run_path
from tests.support.runs import save_again

RUNS, EPOCHS = 1000, 20
ROUNDS = 9
EXPECTED = "it holds no weights"
"""What the page of checkpoints says of a file that holds nothing."""

EMPTY = "an empty store's Overview"


Query = Mapping[str, str | Sequence[str]]


def visits(store: RunStore, runs: int) -> dict[str, tuple[str, Query]]:
    """Every page by its name, with the address to open it by."""
    middle, resumed = run_path(store, runs // 2), run_path(store, runs - 1)
    run = {"run": middle.name}
    usable = {"run": run_path(store, runs).name}
    return {
        "Overview": ("", {}),
        "Overview, a run chosen": ("", run),
        "Overview, filtered and sorted": ("", {"text": "run 7", "state": "finished", "sort": "name"}),
        "Overview, curves of twelve runs": ("", {"run": [run_path(store, number).name for number in range(12)]}),
        "Train, the form": ("train", {}),
        "Train, a run": ("train", run),
        "Train, a resumed run": ("train", {"run": resumed.name}),
        "Checkpoints": ("checkpoints", {}),
        "Checkpoints, a file chosen": ("checkpoints", {**run, "epoch": "3"}),
        "Checkpoints, tidying up": ("checkpoints", {"view": "Verify and tidy up"}),
        "Resume": ("resume", {}),
        "Resume, did it help": ("resume", {"view": "Helped"}),
        "Resume, lineage": ("resume", {"view": "Lineage"}),
        "Predict, a file that is no model": ("predict", run),
        "Predict, the test images": ("predict", usable),
        "Predict, an image chosen": ("predict", {**usable, "image": "7"}),
        "Lesson": ("lesson", {}),
    }


def run(runs: int = RUNS, epochs: int = EPOCHS) -> Comparison:
    """Each page over a real websocket, in turn, beside a page of a store without runs on a server of its own."""
    with disk_folder() as folder:
        full, empty = RunStore(folder / "full"), RunStore(folder / "empty")
        fill(full, runs + 1, epochs)
        make_usable(Run(run_path(full, runs)), epochs - 1)
        (folder / "none").mkdir()
        with (
            serving(folder, FASHION_RUNS=str(full.root)) as server,
            serving(folder / "none", FASHION_RUNS=str(empty.root)) as idle,
        ):
            times = asyncio.run(timed(server, idle, visits(full, runs)))
    return Comparison(f"Run the script of a page with {runs:,} runs of {epochs} checkpoints", EMPTY, times)


def make_usable(run: Run, epoch: int) -> None:
    save_again(run, epoch, mlp_checkpoint())
    make_old(run.path)


async def timed(server: Server, idle: Server, pages: dict[str, tuple[str, Query]]) -> dict[str, list[float]]:
    """A round before the others warms up: the first run of a page imports what it needs."""
    times: dict[str, list[float]] = {EMPTY: [], **{name: [] for name in pages}}
    sessions = {EMPTY: (await open_session(idle.port, "", {}, prompt=True))[0]}
    for name, (page, query) in pages.items():
        sessions[name], first = await open_session(server.port, page, query, prompt=True)
        assert all(EXPECTED in problem for problem in first.problems), f"{name}: {first.problems}"
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            times[name].append((await session.run()).seconds * 1000)
    return times
