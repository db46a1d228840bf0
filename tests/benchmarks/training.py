"""A fifth of an epoch of the tutorial's network: ours, beside the tutorial's loop and the bare matrix products.

Not a whole epoch: a short round leaves other work on the machine less time to disturb it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from fashion_core.config import parse_config
from fashion_core.data import batches, fashion_mnist
from fashion_core.data.batches import Images
from fashion_core.data.description import BUILT_IN
from fashion_core.models import build_model
from fashion_core.models.torchvision_import import import_torchvision
from fashion_core.runs.schema import Environment
from fashion_core.runs.store import RunStore
from fashion_core.training.captured_step import CapturedStep
from fashion_core.training.reporting import Position
from fashion_core.training.trainer import Trainer
from tests.benchmarks import Comparison, alternate, disk_folder

ROUNDS = 11
IMAGES, BATCH = 12_000, 64
THREADS = torch.get_num_threads()
TUTORIAL, FLOOR = "the tutorial's loop", "the eight products alone"


@contextmanager
def place_to_train(images: int) -> Iterator[tuple[Path, str, RunStore]]:
    """A folder from which torchvision reads the images (Fashion-MNIST if present), their name, and a store for runs."""
    real = fashion_mnist.are_present()
    with TemporaryDirectory(prefix="benchmark-") as folder, disk_folder() as runs:
        for prefix, half in zip(("train", "t10k"), batches.load("fashion-mnist" if real else "synthetic"), strict=True):
            write_idx(Path(folder, "FashionMNIST", "raw"), prefix, half.first(images))
        yield Path(folder), "Fashion-MNIST" if real else "synthetic garments", RunStore(runs)


def write_idx(raw: Path, prefix: str, images: Images) -> None:
    """The two files of one half, as http://yann.lecun.com/exdb/mnist describes them."""
    raw.mkdir(parents=True, exist_ok=True)
    for name, values in (("images-idx3", images.pixels.squeeze(1)), ("labels-idx1", images.labels.byte())):
        head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
        (raw / f"{prefix}-{name}-ubyte").write_bytes(head + values.numpy().tobytes())


def tutorial_epoch(folder: Path, model_name: str = "mlp", device: str = "cpu") -> Callable[[], None]:
    """The tutorial's own ``train_loop``, without what it prints.

    Source: https://pytorch.org/tutorials/beginner/basics/optimization_tutorial.html
    """
    vision = import_torchvision()
    dataset = vision.datasets.FashionMNIST(folder, train=True, transform=vision.transforms.ToTensor())
    dataloader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
    model, loss_fn = build_model(model_name, seed=0).to(device), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def epoch() -> None:
        model.train()
        for batch, (X, y) in enumerate(dataloader):
            X, y = X.to(device), y.to(device)
            loss = loss_fn(model(X), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if batch % 100 == 0:
                loss.item()

    return epoch


def our_epoch(store: RunStore, folder: Path, by_step: bool = False, **settings: Any) -> Callable[[], None]:
    """The first epoch of ``Trainer``, its metric rows and status included, from the same files, whenever it is called.

    By default of the tutorial's settings and ``IMAGES`` images. It ends once its losses have been read from the device;
    ``by_step`` is without replays of a captured step.
    """
    defaults = {
        "dataset": "fashion-mnist",
        "batch_size": BATCH,
        "train_images": IMAGES,
        "device": "cpu",
        "threads": THREADS,
    }
    config = parse_config({**defaults, **settings})
    versions = {"python": "3", "torch": torch.__version__}
    threads_open = config.threads == 0
    environment = Environment(**versions, device=config.device, threads=THREADS, threads_open=threads_open)
    train, test = (import_torchvision().datasets.FashionMNIST(folder, train=train) for train in (True, False))
    both = [Images(half.data.unsqueeze(1), half.targets, BUILT_IN["fashion-mnist"]) for half in (train, test)]
    trainer = Trainer(store.create(config, environment), lambda: False, (both[0], both[1]))
    if by_step:
        assert isinstance(trainer.train_step, CapturedStep)
        trainer.train_step = trainer.train_step.step

    def epoch() -> None:
        trainer.position = Position(0)
        trainer.train_epoch()

    return epoch


def products(dtype: torch.dtype) -> Callable[[], None]:
    """As many steps as an epoch has, each the matrix products of the MLP: three forward, five backward."""
    operands = []
    for inputs, outputs in ((784, 512), (512, 512), (512, 10)):
        shapes = ((BATCH, inputs), (outputs, inputs), (BATCH, outputs))
        x, weight, grad = (torch.randn(*shape, dtype=dtype) for shape in shapes)
        operands += [(x, weight.t(), torch.empty_like(grad)), (grad.t(), x, torch.empty_like(weight))]
        operands += [(grad, weight, torch.empty_like(x))] if inputs == outputs or outputs == 10 else []

    def epoch() -> None:
        for _ in range(-(-IMAGES // BATCH)):
            for one, other, out in operands:
                torch.mm(one, other, out=out)

    return epoch


def run() -> Comparison:
    """With as many threads as torch chooses, the same for all."""
    with place_to_train(IMAGES) as (folder, which, store):
        ways = {
            TUTORIAL: tutorial_epoch(folder),
            FLOOR: products(torch.float32),
            "the eight products in bf16": products(torch.bfloat16),
        }
        for precision in ("fp32", "bf16"):
            ways[f"step by step, {precision}"] = our_epoch(store, folder, by_step=True, precision=precision)
            ways[f"ours, {precision}"] = our_epoch(store, folder, precision=precision)
        title = f"A fifth of an epoch ({IMAGES:,} {which}) of the MLP, batch {BATCH}, {THREADS} threads"
        return Comparison(title, TUTORIAL, alternate(ways, ROUNDS))
