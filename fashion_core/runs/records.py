"""A run as one JSON-ready record: what ``--json`` prints and what summaries are made of."""

from typing import Any

from fashion_core.runs import metrics
from fashion_core.runs.run import Run


def run_record(run: Run) -> dict[str, Any]:
    """The record of DESIGN's command line, with labels and times beside it.

    Raises ``DamagedFileError`` or ``DiskError``.
    """
    record, labels, status = run.record, run.labels, run.status
    return {
        "id": run.id,
        "path": str(run.path),
        "state": run.state(status),
        "error": status.error,
        "source": record.source.model_dump() if record.source else None,
        "parent": record.parent.model_dump() if record.parent else None,
        **labels.model_dump(mode="json"),
        "created": record.created.isoformat(),
        "resumption": record.resumption.model_dump(mode="json") if record.resumption else None,
        "environment": record.environment.model_dump(),
        "config": record.config.model_dump(mode="json"),
        "epochs": epoch_records(run),
    }


def epoch_records(run: Run) -> list[dict[str, Any]]:
    """One record an epoch that has ended; ``checkpoint`` is its path, or None once it is deleted."""
    saved = set(run.epochs_saved())
    if run.record.source:
        return [_imported_record(run, epoch) for epoch in sorted(saved)]
    return [
        {
            **{key: row[key] for key in _EPOCH_KEYS},
            "checkpoint": str(run.checkpoint_path(row["epoch"])) if row["epoch"] in saved else None,
        }
        for row in metrics.read_epochs(run.metrics_path)
    ]


def _imported_record(run: Run, epoch: int) -> dict[str, Any]:
    """An epoch that was trained elsewhere: what its checkpoint says, and nothing about the training."""
    path = run.checkpoint_path(epoch)
    facts = run.file_info(path)
    known = {"epoch": epoch, "loss": facts and facts.loss, "accuracy": facts and facts.accuracy}
    return {**dict.fromkeys(_EPOCH_KEYS), **known, "checkpoint": str(path)}


_EPOCH_KEYS = ("epoch", "loss", "accuracy", "train_loss", "seconds", "samples_per_second")
