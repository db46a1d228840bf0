"""Numbers, times and texts that the records of a run may hold: what this app itself would have written there."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel

from fashion_core.config import MAX_NAME, MAX_SEEDS
from fashion_core.errors import RefusedFileError, is_one_line
from fashion_core.runs.schema import UNDER_WAY_STATES, FileInfo, Labels, RunRecord, Status

LATEST: Final = 4e9  # of a time in seconds since 1970
_MOST: Final = 2**53  # of every whole number: larger ones are no floats, and fit no column
_YEARS: Final = range(2000, 2100)
_MOST_REASONS: Final = 200
_LONGEST: Final = 1_000  # characters of a text, but of notes and of an error


def check(run_id: str, records: Iterable[BaseModel]) -> None:
    """Raise ``RefusedFileError`` for a number or a time that no run has."""
    for record in records:
        if not all(map(_is_possible, _values(record.model_dump()))):
            raise RefusedFileError(f"a record of run {run_id} in it holds a number or a time that no run has")


def _values(value: Any) -> Iterator[Any]:
    """All that is in it, without the containers."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for part in value:
            yield from _values(part)
    else:
        yield value


def _is_possible(value: Any) -> bool:
    if isinstance(value, datetime):
        return value.tzinfo is not None and value.year in _YEARS
    return not isinstance(value, int) or abs(value) < _MOST


def check_record(record: RunRecord) -> None:
    """Raises ``RefusedFileError``."""
    said, place, described = record.resumption, record.repeat, record.described
    is_bounded = all(len(value) <= _LONGEST for value in _values(record.model_dump()) if isinstance(value, str))
    if said:
        of_reasons = [len(reason.values) for reason in said.reasons if not isinstance(reason, str)]
        is_bounded &= max(len(said.reasons), len(said.changes), *of_reasons) <= _MOST_REASONS
    if not is_bounded:
        raise RefusedFileError(f"the record of run {record.id} in it holds more than a run has to say")
    if place and not (0 <= place.index < place.seeds <= MAX_SEEDS and is_one_line(place.group)):
        raise RefusedFileError(f"the place of run {record.id} in it among its seeds is none")
    if described and not described.is_from_elsewhere:
        raise RefusedFileError(f"the dataset of run {record.id} in it is none that can be added")


def check_labels(record: RunRecord, labels: Labels) -> None:
    """Names of before there was a limit were made from the settings. Raises ``RefusedFileError``."""
    is_short = len(labels.name) <= MAX_NAME or labels.name == record.config.title
    if not is_short or not is_one_line(labels.name):
        said = f"should be one line of at most {MAX_NAME} characters: choose another"
        raise RefusedFileError(f"the name of run {record.id} in it {said}")
    if not all(len(tag) <= _LONGEST and is_one_line(tag) for tag in labels.tags):
        raise RefusedFileError(f"a tag of run {record.id} in it is too long, or no line of text: choose another")


def check_status(record: RunRecord, status: Status) -> None:
    """Raises ``RefusedFileError``."""
    is_at_rest = status.state not in (*UNDER_WAY_STATES, "lost") and not (status.process or status.job)
    if not is_at_rest:
        raise RefusedFileError(f"run {record.id} in it claims to be under way, which no run of a bundle is")
    counts = (status.epoch, status.batch, status.continued, status.restarts, *(status.began_at or ()))
    moments = (status.queued_at, status.heartbeat)
    if not (all(0 <= count < 10**9 for count in counts) and all(0 <= moment < LATEST for moment in moments)):
        raise RefusedFileError(f"the status of run {record.id} in it holds a number that no run has")
    if status.state == "imported" and not record.source:
        raise RefusedFileError(f"run {record.id} in it claims to be imported, and says from what file nowhere")


def check_measured(record: RunRecord, name: str, info: FileInfo) -> None:
    """What is known of a file from elsewhere may be anything. Raises ``RefusedFileError``."""
    is_loss = info.loss is None or 0 <= info.loss < float("inf")
    is_accuracy = info.accuracy is None or 0 <= info.accuracy <= 1
    if not record.source and not (is_loss and is_accuracy):
        raise RefusedFileError(f"the loss or the accuracy of {name} of run {record.id} in it is none that a run has")
