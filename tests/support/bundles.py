"""Bundles of small runs that nobody trained, and archives like them with something changed."""

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fashion_core.bundles import write
from fashion_core.bundles.layout import MANIFEST
from fashion_core.runs import metrics
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Labels, Parent, Resumption
from fashion_core.runs.store import RunStore
from tests.support.runs import config, epoch_row, new_run, save_file, set_state

REGULAR = (stat.S_IFREG | 0o644) << 16
LINK = (stat.S_IFLNK | 0o777) << 16


@cache
def tiny_file(number: float = 0.0) -> bytes:
    """What ``torch.save`` writes of two numbers."""
    import torch

    buffer = io.BytesIO()
    torch.save({"x": torch.full((2,), number)}, buffer)
    return buffer.getvalue()


def small_run(store: RunStore, parent: Run | None = None, epochs: int = 2, name: str = "small") -> Run:
    """A finished run with tiny checkpoints, resumed from the first of its parent's if it has one."""
    run = new_run(store, name=name, epochs=epochs)
    if parent:
        first = parent.epochs_saved()[0]
        resumed = {
            "parent": Parent(run=parent.id, epoch=first),
            "resumption": Resumption(parent_name=parent.title, changes={}, verdict="exact", reasons=()),
            "config": config(name=name, epochs=first + 1 + epochs),
        }
        run.write_record(run.record.model_copy(update=resumed))
    for epoch in run.record.span:
        save_file(run, run.checkpoint_path(epoch), content=tiny_file(epoch))
        metrics.append_row(run.metrics_path, epoch_row(epoch))
    save_file(run, run.weights_path, content=tiny_file(9.0))
    run.log_path.write_text("epoch 0\n")
    run.write_labels(Labels(name=name, notes="a note", tags=("one", "two")))
    set_state(run, "finished")
    return run


def bundled(store: RunStore, *runs: Run) -> Path:
    out = store.root.parent / f"{len(runs)} with {runs[0].id}.zip"
    out.unlink(missing_ok=True)
    write.bundle(store, runs, out)
    return out


def members_of(path: Path) -> dict[str, bytes]:
    """All but the manifest."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


def manifest_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read(MANIFEST))
        return found


@dataclass(frozen=True)
class Part:
    name: str
    data: bytes
    attributes: int = REGULAR
    compression: int = zipfile.ZIP_STORED


def described(parts: Iterable[Part | tuple[str, bytes]]) -> list[dict[str, Any]]:
    """What a manifest says of them."""
    pairs = [(part.name, part.data) if isinstance(part, Part) else part for part in parts]
    return [{"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in pairs]


def archive(parts: Iterable[Part], manifest: Mapping[str, Any] | bytes) -> bytes:
    data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for part in [*parts, Part(MANIFEST, data)]:
            info = zipfile.ZipInfo(part.name)
            info.external_attr, info.create_system = part.attributes, 3
            file.writestr(info, part.data, part.compression)
    return buffer.getvalue()


def remade(path: Path, changed: Mapping[str, bytes | None], **manifest: Any) -> bytes:
    """The same bundle with these members, or without them where there is None; its manifest is true of them."""
    every = {**members_of(path), **changed}
    parts = [Part(name, data) for name, data in every.items() if data is not None]
    return archive(parts, {**manifest_of(path), "members": described(parts), **manifest})
