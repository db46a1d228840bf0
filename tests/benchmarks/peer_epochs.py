"""The same epoch by others, each as its own documentation writes it: the settings of the tutorial, SGD and no momentum.

Each function imports what it needs, prepares the first epoch, and returns what trains one.
"""

import math
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH, WIDTHS, LEARNING_RATE = 64, (784, 512, 512, 10), 1e-3

Epoch = Callable[[], object]


def ours(folder: Path, runs: Path, precision: str) -> Epoch:
    from fashion_core.runs.store import RunStore
    from tests.benchmarks.training import our_epoch

    return our_epoch(RunStore(runs), folder, precision=precision, threads=0)


def tutorial(folder: Path, _runs: Path) -> Epoch:
    from tests.benchmarks.training import tutorial_epoch

    return tutorial_epoch(folder)


def jax(folder: Path, _runs: Path, precision: str) -> Epoch:
    """The whole epoch as one compiled function that takes the weights over, as bytes with their order drawn inside.

    Source: https://docs.jax.dev/en/latest/_autosummary/jax.lax.scan.html
    """
    import jax
    import jax.numpy as jnp

    dtype = jnp.bfloat16 if precision == "bf16" else jnp.float32
    pixels, labels = (jnp.asarray(values) for values in read(folder))
    batches, keys = len(labels) // BATCH, iter(jax.random.split(jax.random.key(0), 1000))

    def layer(inputs: int, outputs: int) -> Any:
        bound = 1 / math.sqrt(inputs)
        shapes = ((inputs, outputs), (outputs,))
        return [jax.random.uniform(next(keys), shape, minval=-bound, maxval=bound) for shape in shapes]

    def loss(weights: Any, inputs: Any, truth: Any) -> Any:
        *hidden, last = [[value.astype(dtype) for value in pair] for pair in weights]
        for weight, bias in hidden:
            inputs = jax.nn.relu(inputs.astype(dtype) @ weight + bias)
        logits = (inputs @ last[0] + last[1]).astype(jnp.float32)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), truth[:, None], axis=1).mean()

    def step(weights: Any, batch: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(weights, batch[0].astype(jnp.float32) / 255, batch[1])
        return jax.tree.map(lambda weight, slope: weight - LEARNING_RATE * slope, weights, gradients), value

    def epoch(weights: Any, key: Any) -> Any:
        order = jax.random.permutation(key, len(labels))[: batches * BATCH].reshape(batches, BATCH)
        return jax.lax.scan(step, weights, (pixels[order], labels[order]))

    compiled = jax.jit(epoch, donate_argnums=0)
    weights = [layer(*shape) for shape in pairwise(WIDTHS)]

    def train() -> None:
        nonlocal weights
        weights, losses = compiled(weights, next(keys))
        losses.block_until_ready()

    return train


def keras(folder: Path, _runs: Path) -> Epoch:
    """Source: https://keras.io/guides/training_with_built_in_methods"""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    pixels, labels = read(folder)
    hidden = [keras.layers.Dense(width, activation="relu") for width in WIDTHS[1:-1]]
    model = keras.Sequential([keras.layers.Input(WIDTHS[:1]), *hidden, keras.layers.Dense(WIDTHS[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(LEARNING_RATE), loss=loss)
    inputs = pixels.astype(np.float32) / 255
    return lambda: model.fit(inputs, labels, batch_size=BATCH, verbose=0)


def lightning(folder: Path, _runs: Path) -> Epoch:
    """Source: https://lightning.ai/docs/pytorch/stable/starter/introduction.html"""
    import torch
    from torch import Tensor, nn
    from torch.utils.data import DataLoader

    from fashion_core.models import build_model
    from fashion_core.models.torchvision_import import import_torchvision

    vision = import_torchvision()  # before Lightning, which would import it without our care for builds of torch
    import lightning as L

    class Classifier(L.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = build_model("mlp", seed=0)

        def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
            inputs, labels = batch
            return nn.functional.cross_entropy(self.model(inputs), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=LEARNING_RATE)

    classifier = Classifier()
    dataset = vision.datasets.FashionMNIST(folder, train=True, transform=vision.transforms.ToTensor())
    dataloader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
    }

    def train() -> None:
        L.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(classifier, dataloader)

    return train


def scikit_learn(folder: Path, _runs: Path) -> Epoch:
    """Source: https://scikit-learn.org/stable/modules/neural_networks_supervised.html"""
    from sklearn.neural_network import MLPClassifier

    pixels, labels = read(folder)
    inputs = pixels.astype(np.float32) / 255
    classifier = MLPClassifier(
        WIDTHS[1:-1],
        solver="sgd",
        batch_size=BATCH,
        learning_rate_init=LEARNING_RATE,
        alpha=0,
        momentum=0,
        nesterovs_momentum=False,
    )
    return lambda: classifier.partial_fit(inputs, labels, classes=range(WIDTHS[-1]))


def read(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The training images (N, 784) and labels (N,) of the IDX files that ``training.place_to_train`` writes."""
    pixels, labels = (np.fromfile(path, np.uint8) for path in sorted((folder / "FashionMNIST/raw").glob("train-*")))
    return pixels[16:].reshape(-1, WIDTHS[0]), labels[8:].astype(np.int32)
