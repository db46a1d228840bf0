"""What it costs to ask the process of the Predict page, beside plain PyTorch in this one: 10,000 images, and one."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from fashion_core.data import batches
from fashion_core.data.description import BUILT_IN
from fashion_core.inference.client import Predictor
from fashion_core.models import NeuralNetwork
from tests.benchmarks import Comparison, alternate
from tests.benchmarks.saving import mlp_checkpoint

ROUNDS = 9


def run() -> Comparison:
    with TemporaryDirectory() as folder:
        os.environ.setdefault("FASHION_DATA", folder)
        path = Path(folder) / "checkpoint"
        torch.save(mlp_checkpoint(), path)
        predictor, model = Predictor(), NeuralNetwork()
        model.load_state_dict(torch.load(path, weights_only=True)["model_state_dict"])
        model.eval()
        pixels = np.tile(predictor.test_images("synthetic")[0], (5, 1, 1, 1))
        images = torch.from_numpy(pixels)
        ways = {
            "plain PyTorch, 10,000 images": lambda: plain(model, images),
            "predict, 10,000 images": lambda: predictor.predict(path, pixels, "unit", BUILT_IN["synthetic"]),
            "plain PyTorch, one image": lambda: plain(model, images[:1]),
            "predict, one image": lambda: predictor.predict(path, pixels[:1], "unit", BUILT_IN["synthetic"]),
        }
        try:
            times = alternate(ways, ROUNDS)
        finally:
            predictor.close()
        return Comparison("the tutorial's model asked", "plain PyTorch, 10,000 images", times)


@torch.inference_mode()
def plain(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return torch.cat(
        [model(batches.scale(batch, "unit", BUILT_IN["synthetic"])).softmax(1) for batch in torch.split(images, 1000)]
    )
