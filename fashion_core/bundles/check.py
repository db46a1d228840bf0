"""What the files of a run from anyone mean: each as this app writes it, and all of one run together."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fashion_core import files
from fashion_core.bundles import layout, values
from fashion_core.bundles.read import Bundle
from fashion_core.errors import DamagedFileError, RefusedFileError, UnfitFileError
from fashion_core.formats.untrusted import validate
from fashion_core.formats.untrusted.read import read_saved_file
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Drill, FileInfo, Labels, LoadCheck, RunRecord, Status

NO_ROW: Final = "the metrics of run {run} in it hold a row that no run writes"
LONGEST_LINE: Final = 1 << 20  # of metrics
_TEAMS: Final = "; its run has a team's own model: set FASHION_MODELS to the module that lists it first"


@dataclass(frozen=True)
class Records:
    """What the small files of a run say."""

    record: RunRecord
    labels: Labels
    status: Status
    infos: Mapping[str, FileInfo]  # by the path of the file below the run folder
    load_check: LoadCheck | None


def records(bundle: Bundle, run_id: str) -> Records:
    """The records of one run, each checked, and against each other. Raises ``RefusedFileError``."""
    names = bundle.members[run_id]
    for name in names:
        whole = name.removesuffix(".json") in names if layout.is_info(name) else True
        if not whole or (layout.is_saved_file(name) and f"{name}.json" not in names):
            raise RefusedFileError(f"its member {run_id}/{name} lacks the file that belongs to it")
    found = Records(
        bundle.record(run_id, layout.RECORD, RunRecord),
        bundle.record(run_id, layout.LABELS, Labels),
        bundle.record(run_id, layout.STATUS, Status),
        {name: bundle.record(run_id, f"{name}.json", FileInfo) for name in names if layout.is_saved_file(name)},
        bundle.record(run_id, layout.LOADED, LoadCheck) if layout.LOADED in names else None,
    )
    drill = [bundle.record(run_id, layout.DRILL, Drill)] if layout.DRILL in names else []
    others = [one for one in (found.load_check, *drill) if one]
    values.check(run_id, (found.record, found.labels, found.status, *found.infos.values(), *others))
    _check_identity(run_id, found.record)
    values.check_record(found.record)
    values.check_labels(found.record, found.labels)
    values.check_status(found.record, found.status)
    for name, info in found.infos.items():
        values.check_measured(found.record, name, info)
        _check_info(bundle, run_id, name, info)
    return found


def check_own(run: Run) -> None:
    """Raise ``DamagedFileError`` for what would be refused where the bundle of this run is to go."""
    file = run.record_path
    try:
        values.check(run.id, (run.record,))
        _check_identity(run.id, run.record)
        values.check_record(run.record)
        file = run.labels_path
        values.check(run.id, (run.labels,))
        values.check_labels(run.record, run.labels)
        for file in run.saved_files():
            if info := run.file_info(file):
                values.check_measured(run.record, run.name_of(file), info)
        file = run.metrics_path
        _check_metrics(run, run.record)
    except RefusedFileError as error:
        raise DamagedFileError(file, error.reason) from error


def _check_identity(run_id: str, record: RunRecord) -> None:
    if record.id != run_id:
        raise RefusedFileError(f"the record of run {run_id} in it is that of another run")
    named = [record.parent.run] if record.parent else []
    named += [record.twin_of] if record.twin_of else []
    if run_id in named or not all(map(layout.ID.fullmatch, named)):
        raise RefusedFileError(f"run {run_id} in it goes back to what is no other run")
    if record.parent and not 0 <= record.parent.epoch < record.config.epochs:
        raise RefusedFileError(f"run {run_id} in it begins after its own end")


def _check_info(bundle: Bundle, run_id: str, name: str, info: FileInfo) -> None:
    member, epoch = bundle.members[run_id][name], layout.epoch_of(name)
    if (info.sha256, info.bytes) != (member.sha256, member.bytes):
        raise RefusedFileError(f"its member {member.name} is not the file that its record describes")
    is_fit = layout.FORMATS.get(name, "checkpoint") in (None, info.format)
    if not is_fit or (epoch is not None and info.epoch != epoch) or not 0 <= info.epoch < 10**9:
        raise RefusedFileError(f"its member {member.name} is not of the kind that its record says")


def check_files(run: Run, found: Records) -> None:
    """Read what is not a record, where it was unpacked: no model in it can do harm. Raises ``RefusedFileError``."""
    for name in found.infos:
        try:
            file = read_saved_file(run.path / name)
            file.check_numbers()
            with suppress(UnfitFileError):  # of a team's own model, which may not be here: nothing speaks of harm
                validate.check(file)
        except RefusedFileError as error:
            said = f"its member {run.id}/{name} is no model that can be read: {error.reason}"
            raise RefusedFileError(said + (_TEAMS if found.record.model_sha256 else "")) from error
    _check_metrics(run, found.record)
    losses = run.load_losses_path
    expected = found.load_check.losses_sha256 if found.load_check else None
    if losses.exists() and (found.load_check is None or expected not in (None, files.digest_of(losses).sha256)):
        raise RefusedFileError(f"the losses of run {run.id} in it are not those that it measured")


def _check_metrics(run: Run, record: RunRecord) -> None:
    """Every line is a row as this app writes it; at the end, one may be cut off. Raises ``RefusedFileError``."""
    if not run.metrics_path.exists():
        return
    last = record.first_epoch - 1
    with run.metrics_path.open("rb") as lines:
        while line := lines.readline(LONGEST_LINE):
            row = metrics.as_written(line)
            if row is None and not line.endswith(b"\n") and not lines.read(1):
                return
            if row is None or row.epoch not in record.span:
                raise RefusedFileError(NO_ROW.format(run=run.id))
            if isinstance(row, metrics.EpochRow):
                if row.epoch <= last:
                    raise RefusedFileError(f"the metrics of run {run.id} in it hold an epoch twice")
                last = row.epoch
