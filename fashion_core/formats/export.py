"""Export any checkpoint of any run in any of the five formats, and compare the five."""

import io
import json
import shutil
import statistics
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from fashion_core import files
from fashion_core.config import FASHION, MODEL_LABELS, Shape
from fashion_core.data import batches
from fashion_core.data.description import Description
from fashion_core.errors import DataError, ModelError
from fashion_core.formats import save
from fashion_core.formats.load import LoadedModel, load
from fashion_core.formats.untrusted.blueprints import blueprint
from fashion_core.formats.untrusted.read import PROGRAM_METADATA
from fashion_core.formats.untrusted.safetensors_reader import OURS, described_by
from fashion_core.formats.untrusted.saved_file import DESCRIPTION_KEY, checksum_of
from fashion_core.models import team
from fashion_core.runs.run import Run
from fashion_core.runs.schema import EXPORT_NAMES, ExportFormat

T = TypeVar("T")
_ROUNDS, _IMAGES = 3, 256


def export(run: Run, epoch: int, format: ExportFormat, out: Path) -> files.Digest:
    """Write a checkpoint.

    Raises ``DiskError`` (``out`` exists), ``RunNotFoundError``, ``DamagedFileError``, or ``ModelError`` where a team's
    own model can't be written in this format.
    """
    files.check_free(out)
    source = run.whole_checkpoint(epoch)
    if format == "checkpoint":
        with files.writing(out) as file, source.open("rb") as original:
            shutil.copyfileobj(original, file)
        return file.digest
    return _write_as(format, _load(run, source), out)


def _load(run: Run, checkpoint: Path) -> LoadedModel:
    loaded = load(checkpoint, dataset=run.record.description)
    return replace(loaded, trained_on={**loaded.trained_on, **run.record.trained_on})


def _write_as(format: ExportFormat, loaded: LoadedModel, out: Path) -> files.Digest:
    """Write a loaded model in one of the formats that hold no optimizer."""
    if format == "weights":
        return save.save(out, loaded.model.state_dict())
    if format == "model":
        blueprint(loaded.model_name, loaded.shape)  # says why where a team's own can't be saved as a whole
        return save.save(out, loaded.model)
    if format == "safetensors":
        return files.write_bytes(out, as_safetensors(loaded))
    with files.scratch_folder(out.parent):
        with _explained(loaded):
            program = as_program(loaded.model, _metadata(loaded), loaded.shape)
        return files.write_bytes(out, program)


def _explained(loaded: LoadedModel) -> AbstractContextManager[None]:
    """A team's own model may do what torch can't export; torch's message says what."""
    is_own = loaded.model_name in MODEL_LABELS
    return nullcontext() if is_own else team.explained(f"{loaded.model_name} can't be exported as a program (.pt2)")


def _metadata(loaded: LoadedModel) -> dict[str, str]:
    """What a format without settings says beside the weights."""
    known = {"model": loaded.model_name, "epoch": loaded.epoch, "loss": loaded.loss, **loaded.trained_on}
    described = {DESCRIPTION_KEY: loaded.dataset.model_dump_json()} if loaded.dataset else {}
    return {key: str(value) for key, value in known.items() if value is not None} | described


def as_safetensors(loaded: LoadedModel) -> bytes:
    """Weights with a checksum of this app's, as the format has none: written once without it, then with it."""
    # a copy of each, as the format has no tensors that share their numbers
    tensors = {name: save.snapshot(tensor) for name, tensor in loaded.model.state_dict().items()}
    metadata = {"format": "pt", **{f"{OURS}{key}": value for key, value in _metadata(loaded).items()}}
    whole = memoryview(safetensors.torch.save(tensors, metadata))
    (header_bytes,) = struct.unpack("<Q", whole[:8])
    header = json.loads(bytes(whole[8 : 8 + header_bytes]))
    del header["__metadata__"]
    checksum = checksum_of(described_by(header, metadata), [whole[8 + header_bytes :]])
    return safetensors.torch.save(tensors, {**metadata, f"{OURS}sha256": checksum})


def as_program(model: nn.Module, metadata: Mapping[str, str], shape: Shape = FASHION) -> bytes:
    """The model as a ``torch.export`` program (.pt2) that takes any number of images, without paths of this machine.

    ``metadata`` goes into a JSON file beside it. torch needs a place for temporary files, though it writes none there.
    """
    images = torch.zeros(2, shape.channels, shape.height, shape.width)
    program = torch.export.export(model.eval(), (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={PROGRAM_METADATA: json.dumps(metadata)} if metadata else None)
    return buffer.getvalue()


def compare_formats(run: Run, epoch: int) -> dict[str, Any]:
    """Save and load one checkpoint in each format: bytes, seconds (median of 3), and outputs on the same images.

    ``difference`` is the largest of a logit from the checkpoint's own. ``what`` is "test images", or "random pixels"
    where the dataset is missing; ``left_out`` says why a team's own model can't be saved in a format. JSON-ready.
    Raises what ``export`` raises.
    """
    source, config = run.whole_checkpoint(epoch), run.record.config
    loaded = _load(run, source)
    try:
        pixels, what = batches.load(config.dataset)[1].pixels[:_IMAGES], "test images"
    except DataError:
        noise = torch.randint(0, 256, (_IMAGES, *loaded.shape[:3]), generator=torch.Generator().manual_seed(0))
        pixels, what = noise.to(torch.uint8), "random pixels"
    dataset = run.record.description
    images = batches.scale(pixels, config.pixels, dataset)
    with files.scratch_folder(run.path.parent) as folder:
        rows, left_out = [], {}
        for format, name in EXPORT_NAMES.items():
            try:
                rows.append(_measure(format, loaded, source, images, folder / name, dataset))
            except ModelError as error:
                left_out[format] = str(error)
    return {"images": len(images), "what": what, "formats": rows, "left_out": left_out}


def _measure(
    format: ExportFormat, loaded: LoadedModel, source: Path, images: Tensor, path: Path, dataset: Description
) -> dict[str, Any]:
    content = save.load_checkpoint(source)
    write = partial(save.save, path, content) if format == "checkpoint" else partial(_write_as, format, loaded, path)
    save_seconds, _ = _timed(write)
    # A program that this process has just written is run; a stranger's never is, only its numbers are read.
    load_seconds, model = _timed(lambda: _load_again(format, path, loaded.model_name, dataset))
    with torch.inference_mode():
        difference = (model(images) - loaded.model(images)).abs().max().item()
    times = {"save_seconds": save_seconds, "load_seconds": load_seconds}
    return {"format": format, "bytes": path.stat().st_size, **times, "difference": difference}


def _load_again(format: ExportFormat, path: Path, model: str, dataset: Description) -> nn.Module:
    return torch.export.load(path).module() if format == "pt2" else load(path, dataset=dataset, model=model).model


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), result
