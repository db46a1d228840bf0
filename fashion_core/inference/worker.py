"""The process that loads torch and models, because the server must not; it answers until the server exits."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fashion_core import devices
from fashion_core.data.description import Description
from fashion_core.errors import FashionError
from fashion_core.inference import engine, prepare
from fashion_core.inference.client import Message, receive, send


def serve() -> None:
    """Answer each message on standard input with one on standard output, until the asking process exits."""
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")  # what libraries print must not mix with them: it goes to standard error
    os.dup2(2, 1)
    devices.make_reproducible(devices.automatic_threads())
    models = engine.Models()
    with suppress(BrokenPipeError):  # the server is gone
        while (question := receive(questions)) is not None:
            try:
                answer = _answer(question.values, question.arrays, models)
            except FashionError as error:
                answer = Message({"problem": str(error)})
            send(answers, answer)


def _answer(asked: dict[str, Any], sent: dict[str, np.ndarray], models: engine.Models) -> Message:
    if asked["ask"] == "prepare":
        prepared = prepare.prepare(sent["bytes"].tobytes(), Description.model_validate(asked["dataset"]))
        steps = [(step.name, step.note) for step in prepared.steps]
        shown = {f"step {number}": step.pixels for number, step in enumerate(prepared.steps)}
        return Message({"steps": steps}, {"pixels": prepared.pixels, **shown})
    if asked["ask"] == "test images":
        images = engine.test_images(asked["dataset"])
        return Message({}, {"pixels": images.pixels.numpy(), "labels": images.labels.numpy()})
    device = devices.resolve("auto")
    if "pixels" in sent:
        pixels, description = torch.from_numpy(sent["pixels"]), Description.model_validate(asked["dataset"])
    else:
        images = engine.test_images(asked["dataset"])
        pixels, description = images.pixels, images.description
    model = models.get(Path(asked["file"]), device, description)
    found = engine.probabilities(model, pixels, asked["pixels"], description, device)
    return Message({}, {"probabilities": found.numpy()})
