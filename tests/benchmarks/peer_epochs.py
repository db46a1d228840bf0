"""The same epoch by others, with the tutorial's settings: batches of 64, plain SGD, images shuffled and divided by 255.

Each function imports what it needs, prepares the training, and returns what trains an epoch.
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


def our_epoch(folder: Path, runs: Path, **settings: Any) -> Epoch:
    from fashion_core.runs.store import RunStore
    from tests.benchmarks import training

    return training.our_epoch(RunStore(runs), folder, threads=0, **settings)


def tutorial_epoch(folder: Path) -> Epoch:
    from tests.benchmarks import training

    return training.tutorial_epoch(folder)


def jax_epoch(folder: Path, precision: str) -> Epoch:
    """The whole epoch, its order too, as one compiled function that reuses the memory of the weights.

    One compiled function a batch, as in JAX's own examples, is no faster.
    Source: https://docs.jax.dev/en/latest/_autosummary/jax.lax.scan.html
    """
    import jax
    import jax.numpy as jnp

    def loss(weights: Any, inputs: Any, truth: Any) -> Any:
        *hidden, last = jax.tree.map(lambda values: values.astype(inputs.dtype), weights)
        for weight, bias in hidden:
            inputs = jax.nn.relu(inputs @ weight + bias)
        logits = (inputs @ last[0] + last[1]).astype(jnp.float32)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), truth[:, None], axis=1).mean()

    def step(weights: Any, batch: Any) -> Any:
        inputs = (batch[0].astype(jnp.float32) / 255).astype(jnp.bfloat16 if precision == "bf16" else jnp.float32)
        value, gradients = jax.value_and_grad(loss)(weights, inputs, batch[1])
        return jax.tree.map(lambda weight, slope: weight - LEARNING_RATE * slope, weights, gradients), value

    def epoch(weights: Any, key: Any, pixels: Any, labels: Any) -> Any:
        order = jax.random.permutation(key, len(labels)).reshape(-1, BATCH)
        return jax.lax.scan(step, weights, (pixels[order], labels[order]))

    data = [jnp.asarray(values) for values in read(folder)]
    key = jax.random.key(0)
    compiled, weights = jax.jit(epoch, donate_argnums=0), jax.tree.map(jnp.asarray, _first_weights())

    def train() -> None:
        nonlocal key, weights
        key, order_key = jax.random.split(key)
        weights, losses = compiled(weights, order_key, *data)
        losses.block_until_ready()

    return train


def _first_weights() -> list[list[NDArray[np.float32]]]:
    """A matrix and a vector for each layer, uniform as ``nn.Linear`` draws them."""
    generator = np.random.default_rng(0)

    def draw(bound: float, *shape: int) -> NDArray[np.float32]:
        return generator.uniform(-bound, bound, shape).astype(np.float32)

    return [[draw(1 / math.sqrt(inputs), *shape) for shape in ((inputs, outputs), (outputs,))]
            for inputs, outputs in pairwise(WIDTHS)]  # fmt: skip


def keras_epoch(folder: Path) -> Epoch:
    """Its images are divided by 255 before the epoch.

    Source: https://keras.io/guides/training_with_built_in_methods
    """
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    pixels, labels = read(folder)
    hidden = [keras.layers.Dense(width, activation="relu") for width in WIDTHS[1:-1]]
    model = keras.Sequential([keras.layers.Input(WIDTHS[:1]), *hidden, keras.layers.Dense(WIDTHS[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(LEARNING_RATE), loss=loss)
    inputs = pixels.astype(np.float32) / 255
    return lambda: model.fit(inputs, labels, batch_size=BATCH, verbose=0)


def scikit_learn_epoch(folder: Path) -> Epoch:
    """Its images are divided by 255 before the epoch.

    Source: https://scikit-learn.org/stable/modules/neural_networks_supervised.html
    """
    from sklearn.neural_network import MLPClassifier

    pixels, labels = read(folder)
    plain = {"alpha": 0, "momentum": 0, "nesterovs_momentum": False}
    classifier = MLPClassifier(WIDTHS[1:-1], solver="sgd", batch_size=BATCH, learning_rate_init=LEARNING_RATE, **plain)
    inputs = pixels.astype(np.float32) / 255
    return lambda: classifier.partial_fit(inputs, labels, classes=range(WIDTHS[-1]))


def lightning_epoch(folder: Path) -> Epoch:
    """A call of ``fit`` an epoch: what it prepares each time is in the figure.

    Source: https://lightning.ai/docs/pytorch/stable/starter/introduction.html
    """
    import torch
    from torch import Tensor, nn
    from torch.utils.data import DataLoader

    from fashion_core.models import build_model
    from fashion_core.models.torchvision_import import import_torchvision

    vision = import_torchvision()  # before Lightning does, which can't with every build of torch
    import lightning

    class Classifier(lightning.LightningModule):
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
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)
    return lambda: lightning.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(classifier, dataloader)


def read(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The training images (N, 784) and labels (N,) of the IDX files that ``training.place_to_train`` writes."""
    pixels, labels = (np.fromfile(path, np.uint8) for path in sorted((folder / "FashionMNIST/raw").glob("train-*")))
    return pixels[16:].reshape(-1, WIDTHS[0]), labels[8:].astype(np.int32)
