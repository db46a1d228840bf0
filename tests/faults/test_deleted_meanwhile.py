"""People delete runs and files while others look at them: a page says so in a sentence, and never breaks."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest

from fashion_core.errors import FashionError
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.benchmarks.saving import mlp_checkpoint
from tests.benchmarks.serving import Server
from tests.benchmarks.sessions import open_session
from tests.benchmarks.stores import run_path, write_run
from tests.faults.lives import Tally
from tests.support.runs import save_again

RUNS, EPOCHS, VIEWERS = 6, 8, 8
VIEWS = {
    "": ("",),
    "train": ("",),
    "checkpoints": ("", "Verify and tidy up"),
    "resume": ("", "", "Helped", "Lineage"),
    "predict": ("", "Your images", "Checkpoint history", "Evaluation", "Two models", "In plain PyTorch"),
}
INSIDE = ("Look inside", "Five ways", "Compare", "Download")
MOST_SECONDS_BETWEEN = 0.06
GONE = ("No run in ", " has no ", "it or its folder does not exist", "the file is missing")
"""Parts of the sentences about what was deleted; the others are about files that hold no model."""


class Churn:
    def __init__(self, store: RunStore, drafts: Path) -> None:
        self.store, self.drafts = store, drafts
        self.written, self.deleted = 0, Counter[str]()
        store.root.mkdir()
        for _ in range(RUNS):
            self.add()

    def add(self) -> None:
        """Add a run that appears whole, every second one resumed; its last two checkpoints hold models."""
        parent = random.choice(self.store.runs()).id if self.written % 2 else None
        target = run_path(self.store, self.written)
        self.written += 1
        draft = Run(self.drafts / target.name)
        write_run(draft.path, self.written, EPOCHS, parent)
        for epoch in draft.epochs_saved()[-2:]:
            save_again(draft, epoch, mlp_checkpoint())
        draft.path.rename(target)

    def delete(self) -> None:
        run = random.choice(self.store.runs())
        file = random.choice([None, *run.saved_files()[-2:]])
        if file is None:
            self.add()
        with suppress(FashionError):  # a page may be at work in it
            self.store.delete(run, file, force=True)
            self.deleted["files" if file else "runs"] += 1

    async def keep_deleting(self) -> None:
        while True:
            await asyncio.to_thread(self.delete)
            await asyncio.sleep(random.uniform(0, MOST_SECONDS_BETWEEN))


def address_of(page: str, run: Run) -> dict[str, str]:
    query = {"run": run.id} if random.random() < 0.8 else {}
    if page in ("checkpoints", "resume", "predict") and random.random() < 0.4:
        query |= {"run": run.id, "epoch": str(EPOCHS - 1)}
    if page == "checkpoints" and "epoch" in query:
        query["show"] = random.choice(INSIDE)
    elif view := random.choice(VIEWS[page]):
        query["view"] = view
    return query


async def visit(server: Server, store: RunStore, numbers: Iterator[int]) -> list[str]:
    said: list[str] = []
    for _ in numbers:
        page = random.choice(list(VIEWS))
        query = address_of(page, random.choice(store.runs()))
        session, ran = await open_session(server.port, page, query, prompt=True)
        said.extend(ran.problems)
        for _ in range(random.randrange(3)):
            later = await session.stay()
            said.extend(later.problems if later else ())
        await session.connection.close()
    return said


async def look(server: Server, churn: Churn, visits: int) -> list[str]:
    """Open this many pages by several people while the store changes; return the sentences about deleted things."""
    numbers = iter(range(visits))
    async with asyncio.TaskGroup() as group:
        changing = group.create_task(churn.keep_deleting())
        said = await asyncio.gather(*(visit(server, churn.store, numbers) for _ in range(VIEWERS)))
        changing.cancel()
    return [sentence for sentence in chain.from_iterable(said) if any(words in sentence for words in GONE)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pages_outlive_what_they_show(store: RunStore, server: Server, tmp_path: Path, tally: Tally) -> None:
    churn, visits = Churn(store, tmp_path / "drafts"), tally.rounds(60, 10000)
    said = asyncio.run(look(server, churn, visits))
    log = server.log.read_text(errors="replace")
    assert "Traceback" not in log, log
    assert min(churn.deleted["runs"], churn.deleted["files"], len(said)) > visits // 10
    gone = " and ".join(f"{count:,} {name}" for name, count in sorted(churn.deleted.items()))
    tally.survived(
        f"{gone} deleted while {VIEWERS} people opened {visits:,} pages: "
        f"{len(said):,} sentences about what was not there, no page broke"
    )
