"""Read a bundle in a process of its own, where a file from anyone can harm no visitor."""

from pathlib import Path

from fashion_core.bundles.unbundle import Found, Unbundled
from fashion_core.runs import processes
from fashion_core.runs.store import RunStore


def preview(store: RunStore, path: Path) -> list[Found]:
    """What is in a bundle; nothing is kept. Raises ``WorkerError`` with what the other process said."""
    answer = processes.ask("unbundler", "--preview", str(path), root=store.root)
    return [Found(**found) for found in answer["runs"]]


def unbundle(store: RunStore, path: Path) -> Unbundled:
    """Keep its runs. Raises ``WorkerError`` with what the other process said."""
    answer = processes.ask("unbundler", str(path), root=store.root)
    return Unbundled(tuple(answer["made"]), tuple(answer["there"]), answer["more"])
