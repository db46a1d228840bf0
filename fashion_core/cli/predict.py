"""The commands that use a model: predict, evaluate. They import torch, so they are imported when they run."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fashion_core import devices
from fashion_core.cli.answer import answer, given_settings, say
from fashion_core.config import TrainConfig, parse_config
from fashion_core.data.description import Description
from fashion_core.errors import ImageError, UnfitFileError
from fashion_core.formats.load import load
from fashion_core.formats.shapes import misfit
from fashion_core.inference import engine, prepare, scores


def predict_images(options: argparse.Namespace) -> None:
    """Print a record for each image, in the order given. Raises ``ImageError`` before any if one can't be read."""
    model, config, dataset = _model(options)
    images = []
    for path in options.images:
        try:
            with _silent_libraries():
                images.append(torch.from_numpy(prepare.prepare(path, dataset).pixels))
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
    device = devices.resolve(config.device)
    found, classes = engine.probabilities(model, torch.stack(images), config.pixels, dataset, device), dataset.classes
    records = [
        {
            "image": str(path),
            "class": classes[index],
            "class_index": index,
            "probability": row[index],
            "probabilities": dict(zip(classes, row, strict=True)),
        }
        for path, row in zip(options.images, found.tolist(), strict=True)
        for index in [row.index(max(row))]
    ]
    lines = (f"{record['image']}: {record['class']} {record['probability']:.1%}" for record in records)
    answer(options, records, lines)


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Drop what C libraries print by themselves: libtiff complains of damage, which one sentence tells already."""
    with Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _model(options: argparse.Namespace) -> tuple[nn.Module, TrainConfig, Description]:
    """Return the model on its device, its settings and its dataset; say what of that had to be assumed."""
    devices.make_reproducible(devices.automatic_threads())
    loaded, given = load(options.file, options.weights), given_settings(options)
    for note in loaded.notes:
        if loaded.optimizer is None or note != loaded.optimizer.note:
            say(note)
    known = {**engine.trained_on(options.file, loaded), **given}
    config = parse_config(known)
    if assumed := [name for name in ("dataset", "pixels") if name not in known]:
        values = ", ".join(f"{name} {getattr(config, name)}" for name in assumed)
        flags = ", ".join(f"--{name}" for name in assumed)
        say(f"The file does not say what it was trained on: {values} assumed; change that with {flags}.")
    dataset = engine.dataset_of(options.file, loaded, config.dataset)
    if reason := misfit(loaded.model_name, loaded.shape, dataset):
        raise UnfitFileError(reason + ("; say on which it was trained with --dataset" if "dataset" in assumed else ""))
    return loaded.model.to(devices.resolve(config.device)), config, dataset


def evaluate(options: argparse.Namespace) -> None:
    model, config, dataset = _model(options)
    images = engine.test_images(config.dataset)
    if dataset.sha256 != images.description.sha256:
        say("These are not the images that it was trained on: others have the same name by now.")
    answers, loss = engine.evaluate(model, images, config.pixels, devices.resolve(config.device))
    report = {
        "file": str(options.file),
        "dataset": config.dataset,
        "pixels": config.pixels,
        "images": len(answers.labels),
        "accuracy": answers.accuracy,
        "interval": list(scores.accuracy_interval(answers)),
        "loss": loss,
        "expected_calibration_error": scores.calibration(answers).expected_calibration_error,
        "confusion": scores.confusion_matrix(answers).tolist(),
        "classes": [
            {"class": name, "precision": one.precision, "recall": one.recall, "f1": one.f1, "support": one.support}
            for name, one in zip(answers.classes, scores.class_scores(answers), strict=True)
        ],
    }
    answer(options, report, _lines(report))


def _lines(report: dict[str, Any]) -> Iterator[str]:
    low, high = report["interval"]
    yield f"{report['file']}: {report['accuracy']:.2%} of {report['images']:,} test images of {report['dataset']}"
    error = f"expected calibration error {report['expected_calibration_error']:.2%}"
    yield f"95 % interval {low:.2%} to {high:.2%}, loss {report['loss']:.4f}, {error}"
    longest = max(len(one["class"]) for one in report["classes"])
    for one in report["classes"]:
        precision, recall = ("–" if one[key] is None else f"{one[key]:.1%}" for key in ("precision", "recall"))
        yield f"{one['class']:<{longest}} precision {precision:>6}  recall {recall:>6}"
