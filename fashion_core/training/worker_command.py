"""``python -m fashion_core worker RUN``, for this package's own use: what the command line has besides starts later."""

import sys

from fashion_core.errors import FashionError
from fashion_core.runs import queue
from fashion_core.runs.store import RunStore
from fashion_core.training.worker import work


def main(run_id: str) -> int:
    """Train a run, and let the next one of the queue follow. Gives the exit status, as that of every command."""
    store = RunStore()
    given = True
    try:
        given = work(store.get(run_id))
    except FashionError as error:
        print(f"fashion_core: {error}", file=sys.stderr)
        return 1
    finally:
        if given:
            queue.advance(store)
    return 0
