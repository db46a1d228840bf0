"""The plain PyTorch that uses a saved file as the Predict page does; only text is made here."""

from dataclasses import replace

from fashion_core.config import CLASS_NAMES, TrainConfig
from fashion_core.ui.snippets.loading import Target, loading_script
from fashion_core.ui.snippets.training import TRANSFORMS

_SCALED = {
    "unit": ".div_(255)",
    "raw": "",
    "standard": ".div_(255).sub_(0.2860).div_(0.3530)",
}


def predicting_script(target: Target, pixels: str) -> str:
    """A script that ends with the ``probabilities`` (1, 10) of the image in ``garment.png``."""
    names = "\n".join(f'    "{name}",' for name in CLASS_NAMES)
    prepare = _PREPARE.format(scaled=_SCALED[pixels])
    return _joined((*_loaded(target, pixels), prepare, f"class_names = [\n{names}\n]", _PREDICT))


def evaluating_script(target: Target, config: TrainConfig) -> str:
    """A script that ends with the ``probabilities`` (N, 10) of all test images, and prints the accuracy."""
    return _joined((*_loaded(target, config.pixels), _test_data(config), _EVALUATE))


def _loaded(target: Target, pixels: str) -> tuple[str, ...]:
    """The model alone, and ``torch`` too where loading needs its tensors alone."""
    model = replace(target, optimizer=None, keys=frozenset())
    return (loading_script(model, pixels), "import torch" if target.format == "safetensors" else "")


def _joined(parts: tuple[str, ...]) -> str:
    return "\n".join(f"{part.strip()}\n" for part in parts if part)


def _test_data(config: TrainConfig) -> str:
    if config.dataset == "fashion-mnist":
        made = f'datasets.FashionMNIST("data", train=False, download=True, transform={TRANSFORMS[config.pixels]})'
        return f"from torchvision import datasets, transforms\n\ntest_data = {made}"
    lines = [
        "from torch.utils.data import TensorDataset",
        "",
        "from fashion_core.data import batches  # draws the synthetic garments: run this in this app's folder",
        "",
        '_, test = batches.load("synthetic")',
        f'test_data = TensorDataset(batches.scale(test.pixels, "{config.pixels}"), test.labels)',
    ]
    return "\n".join(lines)


_PREPARE = """
from pathlib import Path

from fashion_core.inference.prepare import prepare  # run this in this app's folder: grey, bright on black, 28 × 28

images = torch.from_numpy(prepare(Path("garment.png")).pixels)[None, None].float(){scaled}
"""

_PREDICT = """
with torch.inference_mode():
    probabilities = model(images).softmax(1)
print(class_names[probabilities.argmax()], f"{probabilities.max():.1%}")
"""

_EVALUATE = """
from torch.utils.data import DataLoader

with torch.inference_mode():
    answers = [(model(X).softmax(1), y) for X, y in DataLoader(test_data, batch_size=1000)]
probabilities, labels = (torch.cat(part) for part in zip(*answers))
print(f"accuracy {(probabilities.argmax(1) == labels).float().mean():.2%}")
"""
