"""Run the lesson's snippets as they stand, on a finished run's model, and keep what they print."""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fashion_core import files
from fashion_core.config import FASHION
from fashion_core.data import batches as data
from fashion_core.errors import RunStateError
from fashion_core.formats.load import load
from fashion_core.loops import test_loop
from fashion_core.models import NeuralNetwork
from fashion_core.resume import texts
from fashion_core.resume.lesson import CHECK, FILES, MODEL, WEIGHTS, WITH_ADAM
from fashion_core.runs.run import Run


def outputs(run: Run) -> dict[str, Any]:
    """What each snippet prints, and the bytes of the files it makes and of the numbers that each file must hold.

    JSON-ready. Raises ``RunStateError``.
    """
    if not run.weights_path.exists() or (run.record.config.model, run.record.description.shape) != ("mlp", FASHION):
        raise RunStateError(texts.NOT_THE_TUTORIALS_MODEL.format(run=run.id))
    with files.scratch_folder(run.path.parent) as folder, contextlib.chdir(folder):
        Path("model_save").symlink_to(run.checkpoint_folder)
        model = load(run.weights_path).model
        names = {"torch": torch, "nn": nn, "os": os, "NeuralNetwork": NeuralNetwork, "model": model}
        printed = {}
        snippets = {"weights": WEIGHTS.code, "model": MODEL.code, "checkpoint": CHECK, "adam": WITH_ADAM}
        for name, code in snippets.items():
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(code, "<lesson>", "exec"), names)
            printed[name] = output.getvalue()
        sizes = {name: Path(name).stat().st_size for name in FILES}
        numbers = sum(tensor.nbytes for tensor in model.state_dict().values())
    return {"printed": printed, "bytes": {**sizes, "numbers": numbers}}


def losses(run: Run, child: Run) -> dict[str, dict[str, float]]:
    """Both losses on the training images, as in the tutorial, and on the test images. Raises ``DataError``."""
    config, loss_fn = run.record.config, nn.CrossEntropyLoss(reduction="none")
    halves = dict(zip(("training", "test"), data.load(config.dataset), strict=True))
    saved = {"loss_last": run.checkpoint_path(0), "loss_now": child.checkpoint_path(1)}
    return {
        name: {
            half: test_loop(
                data.test_batches(images, config.pixels), load(path, dataset=run.record.description).model, loss_fn
            ).loss
            for half, images in halves.items()
        }
        for name, path in saved.items()
    }
