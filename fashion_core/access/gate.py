"""The gate: every change that people make passes here, is checked against their role, and is noted in the audit."""

import secrets
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import psutil

from fashion_core import files
from fashion_core.access import audit, texts
from fashion_core.access.audit import Entry
from fashion_core.access.roles import Actor
from fashion_core.bundles import process as bundle_process
from fashion_core.bundles.unbundle import Unbundled
from fashion_core.config import MAX_NAME, TrainConfig
from fashion_core.data import fashion_mnist
from fashion_core.data.report import Report
from fashion_core.data.request import AddRequest
from fashion_core.errors import ConfigError, DiskError, NotAllowedError, RunStateError, counted
from fashion_core.resume import drill, lesson, plan
from fashion_core.resume.again import reproduce
from fashion_core.resume.plan import ResumeRequest
from fashion_core.runs import queue, torch_process, verify
from fashion_core.runs.launchers import jobs
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from fashion_core.runs.verify import Verified

Importer = Callable[[RunStore, Path, str, Mapping[str, str], str | None], Run]
Adder = Callable[[str, AddRequest, Callable[[int, int], object]], Report]
Unbundler = Callable[[RunStore, Path], Unbundled]
_SPOOLED: Final = "spooled upload"


@dataclass(frozen=True)
class Actions:
    """What one person may do to a store right now: make one for each action.

    Every method raises ``NotAllowedError`` unless they are an operator, ``DiskError`` if the audit can't be written,
    and whatever the underlying function raises.
    """

    store: RunStore
    actor: Actor

    def start(self, config: TrainConfig, *, here: bool = True) -> Run:
        return self._making("start", "", lambda: queue.start(self.store, config, here=here))

    def start_seeds(self, config: TrainConfig, seeds: int, *, here: bool = True) -> list[Run]:
        """Start a run for each seed; the audit has a line for each."""
        if seeds == 1:
            return [self.start(config, here=here)]
        with self._acting("start", detail=f"{seeds} seeds") as entry:
            made = queue.start_seeds(self.store, config, seeds, here=here)
            entry.detail = f"{seeds} seeds, made {', '.join(run.id for run in made)}"
        for run in made:
            self._note(audit.entry(self.actor.name, "start", run.id, f"seed {run.record.config.seed}", audit.DONE))
        return made

    def stop(self, run: Run) -> None:
        with self._acting("stop", run):
            queue.stop(run)

    def cancel(self, runs: Sequence[Run]) -> None:
        """Stop these runs; the audit has a line for each."""
        with ExitStack() as entries:
            for run in runs:
                entries.enter_context(self._acting("cancel", run))
            queue.cancel(runs)

    def continue_run(self, run: Run) -> None:
        with self._acting("continue", run):
            queue.continue_run(self.store, run)

    def continue_here(self, run: Run, starter: int) -> None:
        with self._acting("continue", run, "torchrun"):
            queue.continue_here(run, starter)

    def crash(self, run: Run) -> None:
        """Begin a crash drill: kill the run's worker."""
        with self._acting("crash", run):
            drill.kill(run)

    def continue_drill(self, run: Run) -> bool:
        """Continue a killed run once it is due, and queue its twin; return whether this call did so.

        Nothing is refused, and only what was done is noted, as nobody clicked.
        """
        if self.actor.role != "operator" or not drill.is_due(run):
            return False
        audit.check(self.store.root)
        if not drill.continue_run(self.store, run):
            return False
        self._note(audit.entry(self.actor.name, "continue", run.id, "crash drill", audit.DONE))
        if twin := drill.start_twin(self.store, run):
            self._note(audit.entry(self.actor.name, "start", twin.id, f"twin of {run.id}", audit.DONE))
        return True

    def resume(self, run: Run, requests: Sequence[ResumeRequest], *, here: bool = True) -> list[Run]:
        return self._resuming(run, "", lambda: plan.resume(self.store, run, requests, here=here))

    def reproduce(self, run: Run, overrides: Mapping[str, Any]) -> Run:
        return self._making("start", f"again as {run.id}", lambda: reproduce.begin(self.store, run, overrides))

    def begin_lesson(self, given: Mapping[str, Any]) -> Run:
        return self._making("start", "lesson", lambda: lesson.begin(self.store, given))

    def continue_lesson(self, run: Run) -> Run | None:
        """Begin the lesson's last step once it is due, and return its run; nothing is refused, as nobody clicked."""
        if self.actor.role != "operator" or not lesson.is_due(self.store, run):
            return lesson.resumed_run(self.store, run)
        made = self._resuming(run, "lesson", lambda: [*filter(None, [lesson.continue_run(self.store, run)])])
        return made[0] if made else None

    def keep_upload(
        self, session: MutableMapping[Any, Any], upload: str, name: str, source: BinaryIO, suffix: str = ""
    ) -> Path:
        """Return the copy of this upload on the store's disk, which goes with the next upload, or with the session.

        Its name is not theirs, but ends in ``suffix``.
        """
        self._entry("upload", detail=name)
        kept: _Spooled | None = session.get(_SPOOLED)
        if kept is None or kept.upload != upload or not kept.path.exists():
            forget_upload(session)
            kept = session[_SPOOLED] = _Spooled(upload, _spool(self.store, source, suffix))
        return kept.path

    def import_file(
        self,
        path: Path,
        name: str,
        given: Mapping[str, str],
        weights: str | None = None,
        importer: Importer = torch_process.import_file,
    ) -> Run:
        """Import a file, by default in a process of its own that loads torch."""
        return self._making("import", name, lambda: importer(self.store, path, name, given, weights))

    def unbundle(self, path: Path, name: str, unbundler: Unbundler = bundle_process.unbundle) -> Unbundled:
        """Keep the runs of a bundle, by default in a process of its own; the audit has a line for each."""
        with self._acting("unbundle", detail=name) as entry:
            done = unbundler(self.store, path)
            entry.detail = f"{name}, made {counted(len(done.made), '{count} run', '{count} runs')}"
        for run_id in done.made:
            self._note(audit.entry(self.actor.name, "unbundle", run_id, name, audit.DONE))
        return done

    def delete(self, run: Run, file: Path | None = None, *, force: bool = False) -> None:
        """Delete a run, or one saved file of it, while nobody resumes from it: that holds the same lock."""
        with self._acting("delete", run, run.name_of(file) if file else ""):
            job = None if file else jobs.waiting_job(run)
            with queue.hold(self.store):
                self.store.delete(run, file, force=force)
            jobs.cancel(job, run)

    def delete_checkpoints(self, run: Run, epochs: Sequence[int]) -> None:
        for epoch in epochs:
            self.delete(run, run.checkpoint_path(epoch))

    def relabel(self, run: Run, labels: Labels, before: Labels | None) -> None:
        """Write the labels; those that can't be read now are set aside.

        Raises ``RunStateError`` if somebody has changed them since they were ``before`` (None: they could not be read),
        ``ConfigError`` if a new name is too long.
        """
        if len(labels.name) > MAX_NAME and not (before and labels.name == before.name):
            raise ConfigError(texts.LONG_NAME.format(most=MAX_NAME, length=len(labels.name)))
        with self._acting("relabel", run, labels.name), queue.hold(self.store):
            now = run.whole_labels
            if now and now != before:
                raise RunStateError(texts.LABELS_CHANGED.format(name=now.name))
            if now is None:
                run.set_labels_aside()
            run.write_labels(labels)

    def verify(self, runs: Sequence[Run]) -> Iterator[Verified]:
        """Verify file by file; the role is checked when the first file is requested."""
        detail = counted(len(runs), "{count} run", "{count} runs")
        with self._acting("verify", runs[0] if len(runs) == 1 else None, detail):
            yield from verify.verify(runs)

    def download(self, progress: Callable[[int, int], object]) -> None:
        with self._acting("download", detail="fashion-mnist"):
            fashion_mnist.download(progress)

    def add_dataset(
        self,
        source: str,
        request: AddRequest,
        progress: Callable[[int, int], object],
        add: Adder,
    ) -> Report:
        with self._acting("add data", detail=f"{request.name} from {source}"):
            return add(source, request, progress)

    def remove_dataset(self, name: str) -> None:
        from fashion_core.data import adding  # whatever reads pictures takes a while: most commands need none

        with self._acting("remove data", detail=name):
            adding.remove(name)

    def _making(self, what: str, detail: str, make: Callable[[], Run]) -> Run:
        with self._acting(what, detail=detail) as entry:
            run = make()
            entry.run = run.id
        return run

    def _resuming(self, run: Run, detail: str, make: Callable[[], list[Run]]) -> list[Run]:
        """Note each run that is made on a line of its own too, so that the audit can be searched for it."""
        with self._acting("resume", run, detail) as entry:
            made = make()
            entry.detail = ", ".join([*filter(None, [detail]), f"made {', '.join(child.id for child in made)}"])
        for child in made:
            self._note(audit.entry(self.actor.name, "start", child.id, f"resumed from {run.id}", audit.DONE))
        return made

    @contextmanager
    def _acting(self, what: str, run: Run | None = None, detail: str = "") -> Iterator[Entry]:
        """Note what is done inside, and how it ended."""
        entry = self._entry(what, run, detail)
        audit.check(self.store.root)
        try:
            yield entry
            entry.outcome = audit.DONE
        except files.REFUSALS as error:
            if told := files.refusal(error):
                entry.outcome = f"failed: {told}"
            raise
        finally:
            self._note(entry)

    def _entry(self, what: str, run: Run | None = None, detail: str = "") -> Entry:
        """Return the line of an action that is allowed; note one that is not, and raise ``NotAllowedError``."""
        entry = audit.entry(self.actor.name, what, run.id if run else None, detail)
        if self.actor.role != "operator":
            entry.outcome = "refused"
            self._note(entry)
            raise NotAllowedError(texts.NOT_ALLOWED.format(why=self.actor.why))
        return entry

    def _note(self, entry: Entry) -> None:
        try:
            audit.write(self.store.root, entry)
        except DiskError:
            if entry.outcome == audit.DONE:  # otherwise people should read what went wrong first
                raise


def from_command_line(store: RunStore) -> Actions:
    """All actions: anyone with a shell on this machine may do everything, noted under their user name."""
    return Actions(store, Actor(f"command line ({psutil.Process().username()})", "operator"))


class _Spooled:
    """A copy in a folder of its own, which is removed with this object, at the latest when the process ends."""

    def __init__(self, upload: str, path: Path) -> None:
        self.upload, self.path = upload, path
        self.remove = weakref.finalize(self, shutil.rmtree, path.parent, ignore_errors=True)


def forget_upload(session: MutableMapping[Any, Any]) -> None:
    if _SPOOLED in session:
        session.pop(_SPOOLED).remove()


def _spool(store: RunStore, source: BinaryIO, suffix: str) -> Path:
    """Copy an upload; what a killed server leaves of it, ``RunStore.remove_leftovers`` removes."""
    path = store.root / f"{files.TEMPORARY_PREFIX}upload-{secrets.token_hex(8)}" / f"upload{suffix}"
    with files.disk_errors(store.root):
        path.parent.mkdir(parents=True)
        try:
            source.seek(0)
            with path.open("xb") as copy:
                shutil.copyfileobj(source, copy)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
    return path
