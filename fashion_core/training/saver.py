"""Saving beside the training that goes on: one thread, and one thing at a time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Saver:
    """Runs what saves a checkpoint in a thread of its own; leaving it waits for that thread.

    Whoever hands over a copy calls ``wait`` before making it, so that there is never more than one. What goes wrong in
    the thread is raised where training asks: by ``wait``, by ``check``, and on leaving unless something else is wrong.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saver")
        self._saving: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        if error is None:
            self.wait()

    def begin(self, save: Callable[[], None]) -> None:
        """Run ``save`` beside the caller, once what was begun before has ended well."""
        self.wait()
        self._saving = self._executor.submit(save)

    def wait(self) -> None:
        """Return once all is saved. Raises what went wrong."""
        if self._saving:
            self._saving.result()

    def check(self) -> None:
        """Raises what went wrong, if something has by now."""
        if self._saving and self._saving.done():
            self._saving.result()
