"""Where a checkpoint comes from: the run that trained it, and each run before it up to the one that was not resumed."""

from dataclasses import dataclass

from fashion_core.resume.comparison import Compared, compare_run, relative_change
from fashion_core.resume.labels import percent
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore


@dataclass(frozen=True)
class Step:
    """One run of the way, up to the ``epoch`` that was taken from it."""

    run: Run
    epoch: int
    compared: Compared | None  # with the loss at that epoch; None of a run that was not resumed or was imported

    @property
    def effect(self) -> str:
        """What the resume did, such as "0.4412 → 0.3896, −11.7%, lower"; empty where nothing was measured."""
        now = self.compared.latest if self.compared else None
        if self.compared is None or now is None:
            return ""
        change = percent(relative_change(self.compared, now))
        return f"{self.compared.loss_last:.4f} → {now.loss:.4f}, {change}, {self.compared.said(now)}"


def ancestry(store: RunStore, run: Run, epoch: int) -> list[Step]:
    """The steps to a checkpoint, the first one first; they begin later where a run before was deleted.

    Raises ``DamagedFileError``, ``DiskError``.
    """
    before = [_step(store, store.get(at.run), at.epoch) for at in reversed(store.ancestors(run))]
    return [*before, _step(store, run, epoch)]


def _step(store: RunStore, run: Run, epoch: int) -> Step:
    ended = [row for row in metrics.read_epochs(run.metrics_path) if row["epoch"] <= epoch]
    return Step(run, epoch, compare_run(store, run, ended))
