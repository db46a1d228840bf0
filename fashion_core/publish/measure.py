"""Measure a checkpoint on all test images of its dataset."""

from pathlib import Path

from fashion_core import devices
from fashion_core.data.description import images_here, images_label
from fashion_core.errors import DataError
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.inference.scores import Answers
from fashion_core.publish import texts
from fashion_core.runs.run import Run


def measure(run: Run, checkpoint: Path) -> tuple[Answers, float]:
    """What a run's checkpoint says of the test images, and its loss.

    Raises ``DataError`` where these images are not here, ``RefusedFileError``, ``DivergedModelError``, ``DiskError``.
    """
    record = run.record
    if record.images != images_here(record.config.dataset):
        raise DataError(texts.OTHER_IMAGES.format(run=run.id, images=images_label(record.images)))
    devices.make_reproducible(devices.automatic_threads())
    device, images = devices.resolve("auto"), engine.test_images(record.config.dataset)
    model = load(checkpoint, dataset=record.description, model=record.config.model).model.to(device)
    return engine.evaluate(model, images, record.config.pixels, device)
