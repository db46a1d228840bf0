"""What a run began with, in words."""

from fashion_core.publish import texts
from fashion_core.runs.run import Run


def origin(run: Run) -> str:
    record = run.record
    if record.source:
        return texts.IMPORTED.format(file=record.source.name)
    if record.parent is None:
        return texts.NOT_RESUMED
    parent = record.resumption.parent_name if record.resumption else record.parent.run
    exists = (run.path.parent / record.parent.run).is_dir()
    return (texts.RESUMED_FROM if exists else texts.PARENT_DELETED).format(parent=parent, epoch=record.parent.epoch)
