"""The commands about saved files: inspect, import, export, formats, verify."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fashion_core.access.gate import from_command_line
from fashion_core.config import settings
from fashion_core.errors import DamagedFileError
from fashion_core.formats import inspect as inspection
from fashion_core.runs.store import RunStore, run_record
from fashion_core.runs.verify import Verified, count_files


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2))


def given_settings(options: argparse.Namespace) -> dict[str, str]:
    """The settings that were given as flags."""
    return {setting.name: getattr(options, setting.name) for setting in settings() if hasattr(options, setting.name)}


def inspect(options: argparse.Namespace) -> None:
    """Raises ``RefusedFileError`` if the file can't even be described."""
    found = inspection.inspect(options.file, numbers=True if options.numbers else None)
    if options.json:
        print_json({"file": str(options.file), **asdict(found)})
        return
    print("\n".join(_summary(options.file, found)))


def _summary(path: Path, found: inspection.Inspection) -> list[str]:
    unknown = "none of this app's" if found.model is None else found.model
    lines = [
        f"{path}: {found.format} ({found.container}), {found.bytes:,} bytes",
        f"sha256: {found.sha256 or 'not computed, because the file is large; --numbers computes it'}",
        f"model: {unknown}" + (f", {found.parameters:,} parameters" if found.parameters else ""),
        f"epoch: {_or_none(found.epoch)}   loss: {_or_none(found.loss)}   optimizer: {_optimizer(found)}",
        f"verdict for resuming: {found.verdict}" + (f"; missing: {', '.join(found.missing)}" if found.missing else ""),
        *(f"differs from the nearest model: {difference}" for difference in found.differences),
        *(f"refers to {name}" for name in found.names),
        *(f"{t.name:<44} {t.dtype:<9} {t.shape!s:<18} {t.bytes:>12,} bytes{_bad(t)}" for t in found.tensors),
    ]
    if not found.has_checksum:
        lines.append("This kind of file has no checksum: damage to its numbers can't be detected.")
    return [*lines, found.refusal] if found.refusal else lines


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _optimizer(found: inspection.Inspection) -> str:
    return found.optimizer.name if found.optimizer else "none"


def _bad(tensor: inspection.TensorInfo) -> str:
    return f"  {tensor.nan} nan, {tensor.inf} inf" if tensor.nan or tensor.inf else ""


def import_file(options: argparse.Namespace) -> None:
    """Raises what ``imports.import_file`` raises."""
    from fashion_core.formats import import_file

    run = from_command_line(RunStore()).import_file(*_what_to_import(options), how=import_file.import_file)
    if options.json:
        print_json(run_record(run))
    else:
        print(f"run {run.id} in {run.path}: {run.record.config.model} at epoch {run.epochs_saved()[0]}")
        if run.labels.notes:
            print(run.labels.notes)


def _what_to_import(options: argparse.Namespace) -> tuple[Path, str, dict[str, str]]:
    return options.file, options.file_name or options.file.name, given_settings(options)


def import_file_for_server(options: argparse.Namespace) -> None:
    """The same for a server, which is told the new run's record. Raises what ``import_file.import_file`` raises."""
    from fashion_core.formats import import_file

    print_json(run_record(import_file.import_file(RunStore(), *_what_to_import(options))))


def export(options: argparse.Namespace) -> None:
    """Raises what ``exports.export`` raises."""
    from fashion_core.formats import export as exports

    run = RunStore().get(options.run)
    digest = exports.export(run, options.epoch, options.format, options.out)
    answer = {"run": run.id, "epoch": options.epoch, "format": options.format, "path": str(options.out.absolute())}
    if options.json:
        print_json({**answer, **asdict(digest)})
    else:
        print(f"{options.out}: {digest.bytes:,} bytes, sha256 {digest.sha256}")


def compare_formats(options: argparse.Namespace) -> None:
    """Raises what ``exports.compare_formats`` raises."""
    from fashion_core.formats import export as exports

    answer = exports.compare_formats(RunStore().get(options.run), options.epoch)
    if options.json:
        print_json(answer)
        return
    print(f"{'format':<12} {'bytes':>12} {'save':>9} {'load':>9}   largest difference on {answer['images']} images")
    for row in answer["formats"]:
        times = f"{row['save_seconds'] * 1e3:>6.1f} ms {row['load_seconds'] * 1e3:>6.1f} ms"
        print(f"{row['format']:<12} {row['bytes']:>12,} {times}   {row['difference']:g}")


def verify(options: argparse.Namespace) -> None:
    """Raises ``DamagedFileError`` with the first damaged file once all are read and reported."""
    store = RunStore()
    runs = [store.get(options.run)] if options.run else store.runs()
    bar = tqdm(from_command_line(store).verify(runs), total=count_files(runs), unit="file", disable=None, leave=False)
    found = list(bar)
    if options.json:
        print_json([{**asdict(result), "ok": result.ok} for result in found])
    for result in () if options.json else found:
        print(f"{result.run}/{result.file}: {result.reason or 'ok'}")
    if not options.json:
        print(f"{sum(result.ok for result in found):,} of {len(found):,} saved files are whole")
    _raise_first_damage(store, found)


def _raise_first_damage(store: RunStore, found: list[Verified]) -> None:
    damaged = [result for result in found if not result.ok]
    if damaged:
        first = damaged[0]
        more = f" (and {len(damaged) - 1} more of {len(found)} files)" if len(damaged) > 1 else ""
        raise DamagedFileError(store.root / first.run / first.file, f"{first.reason}{more}")
