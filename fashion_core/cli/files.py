"""The commands about saved files: inspect, import, export, formats, verify."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from fashion_core.access.gate import from_command_line
from fashion_core.cli.answer import answer, as_typed, given_settings
from fashion_core.errors import DamagedFileError, counted
from fashion_core.formats import inspect as inspection
from fashion_core.runs.run import run_record
from fashion_core.runs.store import RunStore
from fashion_core.runs.verify import count_files


def inspect(options: argparse.Namespace) -> None:
    found = inspection.inspect(options.file, numbers=True if options.numbers else None, choice=options.weights)
    answer(options, {"file": str(options.file), **asdict(found)}, _summary(options.file, found))


def _summary(path: Path, found: inspection.Inspection) -> Iterator[str]:
    yield f"{path}: {found.format} ({found.container}), {found.bytes:,} bytes"
    yield f"sha256: {found.sha256 or 'not computed, because the file is large; --numbers computes it'}"
    parameters = f", {found.parameters:,} parameters" if found.parameters else ""
    yield f"model: {found.model or 'none of this app'}{parameters}"
    if found.shape:
        image = " × ".join(map(str, found.shape[:3]))
        yield f"made for: {found.shape.classes:,} classes, images of {image} or others that need the same layers"
    if found.dataset:
        yield f"classes: {', '.join(found.dataset['classes'])}"
    if found.weights not in (None, "."):
        yield f"weights: under {found.weights}"
    epoch, loss = ("none" if number is None else f"{number:g}" for number in (found.epoch, found.loss))
    yield f"epoch: {epoch}   loss: {loss}   optimizer: {found.optimizer.name if found.optimizer else 'none'}"
    if found.trained_on:
        yield f"trained on: {', '.join(f'{name} {value}' for name, value in found.trained_on.items())}"
    missing = (
        f"; missing: {', '.join(inspection.MISSING[what] for what in found.missing)}"
        if found.missing and not found.refusal
        else ""
    )
    yield f"verdict for resuming: {found.verdict}{missing}"
    yield from (f"differs from the nearest model: {difference}" for difference in found.differences)
    yield from (f"refers to {name}" for name in found.names)
    for t in found.tensors:
        bad = f"  {t.nan} nan, {t.inf} inf" if t.nan or t.inf else ""
        yield f"{t.name:<44} {t.dtype:<9} {t.shape!s:<18} {t.bytes:>12,} bytes{bad}"
    yield from found.notes
    if not found.has_checksum:
        yield "It has no checksum: damage to its numbers can't be detected."
    if found.refusal:
        yield found.refusal


def import_file(options: argparse.Namespace) -> None:
    from fashion_core.formats import import_file

    run = from_command_line(RunStore()).import_file(*_what_to_import(options), importer=import_file.import_file)
    line = f"run {run.id} in {run.path}: {run.record.config.model} at epoch {run.epochs_saved()[0]}"
    answer(options, run_record(run), (line, *run.labels.notes.splitlines()))


def _what_to_import(options: argparse.Namespace) -> tuple[Path, str, dict[str, str], str | None]:
    return options.file, options.file_name or as_typed(options.file.name), given_settings(options), options.weights


def import_file_for_server(options: argparse.Namespace) -> None:
    """Import without the gate: the server that starts this process has already passed it."""
    from fashion_core.formats import import_file

    answer(options, run_record(import_file.import_file(RunStore(), *_what_to_import(options))), ())


def export(options: argparse.Namespace) -> None:
    from fashion_core.formats import export as exports

    run = RunStore().get(options.run)
    digest = exports.export(run, options.epoch, options.format, options.out)
    file = {"run": run.id, "epoch": options.epoch, "format": options.format, "path": str(options.out.absolute())}
    answer(options, file | asdict(digest), [f"{options.out}: {digest.bytes:,} bytes, sha256 {digest.sha256}"])


def compare_formats(options: argparse.Namespace) -> None:
    from fashion_core.formats import export as exports

    found = exports.compare_formats(RunStore().get(options.run), options.epoch)
    head = f"{'format':<12} {'bytes':>12} {'save':>9} {'load':>9}   largest difference on {found['images']} images"
    rows = (
        f"{row['format']:<12} {row['bytes']:>12,} {row['save_seconds'] * 1e3:>6.1f} ms "
        f"{row['load_seconds'] * 1e3:>6.1f} ms   {row['difference']:g}"
        for row in found["formats"]
    )
    answer(options, found, [head, *rows, *found["left_out"].values()])


def verify(options: argparse.Namespace) -> None:
    """Raises ``DamagedFileError`` for the first damaged file, once all have been read and reported."""
    store = RunStore()
    runs = [store.get(options.run)] if options.run else store.runs()
    verified = from_command_line(store).verify(runs)
    found = list(tqdm(verified, total=count_files(runs), unit="file", disable=None, leave=False))
    lines = [f"{result.run}/{result.file}: {result.reason or 'ok'}" for result in found]
    damaged = [result for result in found if not result.ok]
    one, many = "{whole:,} of {count:,} saved file is whole", "{whole:,} of {count:,} saved files are whole"
    lines.append(counted(len(found), one, many, whole=len(found) - len(damaged)))
    answer(options, [{**asdict(result), "ok": result.ok} for result in found], lines)
    if damaged:
        first = damaged[0]
        more = f" (and {len(damaged) - 1} more of {len(found)} files)" if len(damaged) > 1 else ""
        raise DamagedFileError(store.root / first.run / first.file, f"{first.reason}{more}")
