"""The one gate: whatever people change goes through here, is checked against who asks, and is noted in the store."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from fashion_core.access import audit, uploads
from fashion_core.access.audit import Entry
from fashion_core.access.roles import Actor
from fashion_core.config import TrainConfig
from fashion_core.data import fashion_mnist
from fashion_core.errors import DiskError, FashionError, NotAllowedError, RunStateError
from fashion_core.resume import lesson, resumptions
from fashion_core.resume.resumptions import ResumeRequest
from fashion_core.runs import queue, verify
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from fashion_core.runs.verify import Verified

BringIn = Callable[[RunStore, Path, str, Mapping[str, str]], Run]


class Actions:
    """What one person may do to a store, at this moment: to be made anew for each action.

    Every method raises ``NotAllowedError`` unless they are an operator, ``DiskError`` if the store can't note it, and
    else what the function of the same name raises that it calls.
    """

    def __init__(self, store: RunStore, actor: Actor) -> None:
        self.store = store
        self.actor = actor

    def start(self, config: TrainConfig) -> Run:
        """``jobs.start``."""
        with self._acting("start") as entry:
            return _named(entry, queue.start(self.store, config))

    def stop(self, run: Run) -> None:
        """``jobs.stop``."""
        with self._acting("stop", run):
            queue.stop(run)

    def cancel(self, runs: Sequence[Run]) -> None:
        """``resumptions.cancel``."""
        with ExitStack() as lines:
            for run in runs:
                lines.enter_context(self._acting("cancel", run))
            resumptions.cancel(runs)

    def continue_run(self, run: Run) -> None:
        """``jobs.continue_run``."""
        with self._acting("continue", run):
            queue.continue_run(self.store, run)

    def resume(self, run: Run, wishes: Sequence[ResumeRequest]) -> list[Run]:
        """``resumptions.resume``."""
        with self._acting("resume", run) as entry:
            made = resumptions.resume(self.store, run, wishes)
            entry.detail = f"made {_ids(made)}"
        self._note_made(made, run)
        return made

    def begin_lesson(self, given: Mapping[str, Any]) -> Run:
        """``lesson.begin``."""
        with self._acting("start", detail="lesson") as entry:
            return _named(entry, lesson.begin(self.store, given))

    def continue_lesson(self, run: Run) -> Run | None:
        """``lesson.continue_run``. A lesson goes on by itself: who may not do that has not asked, and only looks."""
        if self.actor.role != "operator" or not lesson.is_due(self.store, run):
            return lesson.resumed_run(self.store, run)
        with self._acting("resume", run, "lesson") as entry:
            child = lesson.continue_run(self.store, run)
            made = [child] if child else []
            entry.detail = f"lesson, made {_ids(made)}"
        self._note_made(made, run)
        return child

    def keep_upload(self, held: MutableMapping[Any, Any], upload: str, name: str, source: BinaryIO) -> Path:
        """``uploads.keep``, whose copy takes room on the store's disk."""
        self._check("upload", detail=name)
        return uploads.keep(self.store, held, upload, source)

    def import_file(self, path: Path, name: str, given: Mapping[str, str], how: BringIn = queue.import_file) -> Run:
        """``jobs.import_file``, or in this process ``imports.import_file``."""
        with self._acting("import", detail=name) as entry:
            return _named(entry, how(self.store, path, name, given))

    def delete(self, run: Run, file: Path | None = None, *, force: bool = False) -> None:
        """``RunStore.delete``."""
        with self._acting("delete", run, run.name_of(file) if file else ""):
            self.store.delete(run, file, force=force)

    def release(self, run: Run, epochs: Sequence[int]) -> None:
        """``RunStore.delete`` of the checkpoints of these epochs."""
        for epoch in epochs:
            self.delete(run, run.checkpoint_path(epoch))

    def relabel(self, run: Run, labels: Labels, before: Labels | None) -> None:
        """``Run.write_labels``; ``RunStateError`` if they are no longer what they were ``before``, for this person.

        ``before`` is None where they were damaged. Those that are damaged now are set aside.
        """
        with self._acting("relabel", run, labels.name):
            now = run.whole_labels
            if now and now != before:
                raise RunStateError(
                    f"Somebody changed name, tags or notes meanwhile; the name is {now.name} now. "
                    "Save again to replace theirs by yours."
                )
            if now is None:
                run.set_labels_aside()
            run.write_labels(labels)

    def verify(self, runs: Sequence[Run]) -> Iterator[Verified]:
        """``verify.verify``, which marks what is damaged; the right to do so is checked at the first file."""
        with self._acting("verify", runs[0] if len(runs) == 1 else None, f"{len(runs)} runs"):
            yield from verify.verify(runs)

    def download(self, tell: Callable[[int, int], object]) -> None:
        """``dataset_files.download``."""
        with self._acting("download", detail="fashion-mnist"):
            fashion_mnist.download(tell)

    @contextmanager
    def _acting(self, what: str, run: Run | None = None, detail: str = "") -> Iterator[Entry]:
        """Do something that is noted, with what came of it."""
        self._check(what, run, detail)
        audit.check(self.store.root)
        entry = audit.entry(self.actor.name, what, run.id if run else None, detail)
        try:
            yield entry
            entry.outcome = audit.DONE
        except FashionError as error:
            entry.outcome = f"failed: {error}"
            raise
        finally:
            self._note(entry)

    def _check(self, what: str, run: Run | None = None, detail: str = "") -> None:
        if self.actor.role == "operator":
            return
        entry = audit.entry(self.actor.name, what, run.id if run else None, detail)
        entry.outcome = "refused"
        self._note(entry)
        raise NotAllowedError(f"That was not done. {self.actor.why}")

    def _note_made(self, made: Sequence[Run], parent: Run) -> None:
        """A line for each run, so that each can be asked about."""
        for run in made:
            line = audit.entry(self.actor.name, "start", run.id, f"resumed from {parent.id}")
            line.outcome = audit.DONE
            self._note(line)

    def _note(self, entry: Entry) -> None:
        try:
            audit.write(self.store.root, entry)
        except DiskError:
            if entry.outcome == audit.DONE:  # else what went wrong first is what people should read
                raise


def from_command_line(store: RunStore) -> Actions:
    """What whoever has a shell of this machine may do to a store: all of it, noted under their name."""
    return Actions(store, Actor(f"command line ({psutil.Process().username()})", "operator"))


def _named(entry: Entry, run: Run) -> Run:
    entry.run = run.id
    return run


def _ids(runs: Sequence[Run]) -> str:
    return ", ".join(run.id for run in runs)
