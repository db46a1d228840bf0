"""The process that loads torch and models, because the server must not; it answers until the server exits."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from fashion_core import devices
from fashion_core.errors import FashionError
from fashion_core.inference import engine, prepare
from fashion_core.inference.client import Message, receive, send


def serve() -> None:
    """Answer each message on standard input with one on standard output, until the asking process exits."""
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")  # what libraries print must not mix with them: it goes to standard error
    os.dup2(2, 1)
    devices.make_reproducible(torch.get_num_threads())
    models = engine.Models()
    with suppress(BrokenPipeError):  # the server is gone
        while (question := receive(questions)) is not None:
            send(answers, answer(question, models))


def answer(question: Message, models: engine.Models) -> Message:
    """Return what was asked for, or a sentence about a problem that a person can fix."""
    try:
        return _ANSWERS[question.values["ask"]](question, models)
    except FashionError as error:
        return Message({"problem": str(error)})


def _test_images(question: Message, models: engine.Models) -> Message:
    images = engine.test_images(question.values["dataset"])
    return Message({}, {"pixels": images.pixels.numpy(), "labels": images.labels.numpy()})


def _prepare(question: Message, models: engine.Models) -> Message:
    prepared = prepare.prepare(question.arrays["bytes"].tobytes())
    steps = [(step.name, step.note) for step in prepared.steps]
    shown = {f"step {number}": step.pixels for number, step in enumerate(prepared.steps)}
    return Message({"steps": steps}, {"pixels": prepared.pixels, **shown})


def _predict(question: Message, models: engine.Models) -> Message:
    """Predict the images that were sent, or else a dataset's test images."""
    asked, device = question.values, devices.resolve("auto")
    model = models.get(Path(asked["file"]), device)
    sent = question.arrays.get("pixels")
    pixels = engine.test_images(asked["dataset"]).pixels if sent is None else torch.from_numpy(sent)
    found = engine.probabilities(model, pixels, asked["pixels"], device)
    return Message({}, {"probabilities": found.numpy()})


_ANSWERS: dict[str, Callable[[Message, engine.Models], Message]] = {
    "test images": _test_images,
    "prepare": _prepare,
    "predict": _predict,
}
