"""What a run began with and what it was asked for, in words."""

from fashion_core.config import settings
from fashion_core.publish import texts
from fashion_core.resume.labels import setting_text
from fashion_core.runs.run import Run
from fashion_core.runs.schema import RunRecord


def origin(run: Run) -> str:
    record = run.record
    if record.source:
        return texts.IMPORTED.format(file=record.source.name)
    if record.parent is None:
        return texts.NOT_RESUMED
    parent = record.resumption.parent_name if record.resumption else record.parent.run
    exists = (run.path.parent / record.parent.run).is_dir()
    return (texts.RESUMED_FROM if exists else texts.PARENT_DELETED).format(parent=parent, epoch=record.parent.epoch)


def settings_in_words(record: RunRecord) -> list[tuple[str, str]]:
    """Label and value of each setting; of an imported run, only of those that are known."""
    known = {"model", *record.trained_on} if record.source else {one.name for one in settings()} - {"name"}
    told = [one for one in settings() if one.name in known]
    return [(one.label, setting_text(one.name, getattr(record.config, one.name))) for one in told]
