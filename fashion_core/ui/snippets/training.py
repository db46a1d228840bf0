"""The plain PyTorch that does what the app does, ready to copy; only text is made here, so nothing needs torch."""

import ast
from pathlib import Path

from fashion_core.cache import Cache
from fashion_core.config import TrainConfig

MODEL_CLASSES = {"mlp": "NeuralNetwork", "cnn": "SmallCNN"}
"""The classes of ``models.py``; the third model is torchvision's."""
TRANSFORMS = {
    "unit": "transforms.ToTensor()",
    "raw": "transforms.Compose([transforms.PILToTensor(), lambda image: image.float()])",
    "standard": "transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.2860, 0.3530)])",
}
"""What torchvision makes of an image, by ``TrainConfig.pixels``."""
_sources: Cache[str] = Cache(len(MODEL_CLASSES))
_BLACK = {"unit": "0", "raw": "0", "standard": "-0.2860 / 0.3530"}


def training_script(config: TrainConfig) -> str:
    """A whole script that trains with these settings and saves in the tutorial's three ways."""
    parts = (_imports(config), _data(config), model_lines(config.model), _setup(config), _loops(config), _MAIN, _SAVE)
    return "\n".join(part.strip("\n") + "\n" for part in parts).replace("EPOCHS", str(config.epochs))


def resuming_script(config: TrainConfig, checkpoint: Path, fresh_optimizer: bool = False) -> str:
    """A whole script that goes on from a checkpoint with these settings, to their last epoch."""
    parts = (_imports(config), _data(config), model_lines(config.model), _setup(config), _loops(config))
    optimizer = "" if fresh_optimizer else _load_optimizer(config)
    load = _RESUME.format(path=str(checkpoint), optimizer=optimizer + _ADVANCE * (config.schedule == "cosine"))
    main = _MAIN.replace("range(EPOCHS)", 'range(checkpoint["epoch"] + 1, EPOCHS)')
    text = "\n".join(part.strip("\n") + "\n" for part in (*parts, load, main, _NOW))
    return text.replace("EPOCHS", str(config.epochs))


def _load_optimizer(config: TrainConfig) -> str:
    """The state, and then the settings, which the state would bring along from the parent."""
    asked = [f'"lr": {config.learning_rate:g}', f'"weight_decay": {config.weight_decay:g}']
    if config.optimizer == "sgd":
        asked.append(f'"momentum": {config.momentum:g}')
    return f"""
optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
optimizer.param_groups[0].update({{{", ".join(asked)}}})"""


def _imports(config: TrainConfig) -> str:
    lines = ["import os", "", "import torch", "from torch import Tensor, nn"]
    if config.dataset == "fashion-mnist":
        lines += ["from torch.utils.data import DataLoader, Subset", "from torchvision import datasets, transforms"]
    else:
        lines += ["from torch.utils.data import DataLoader, TensorDataset", "", "from fashion_core.data import batches"]
        lines += ["from torchvision import transforms"] if config.augmentation != "none" else []
    return "\n".join(lines)


def _data(config: TrainConfig) -> str:
    return "\n".join([*_datasets(config), *_loaders(config), *_augment(config)])


def _datasets(config: TrainConfig) -> list[str]:
    if config.dataset == "fashion-mnist":
        return [
            f"transform = {TRANSFORMS[config.pixels]}",
            'training_data = datasets.FashionMNIST("data", train=True, download=True, transform=transform)',
            'test_data = datasets.FashionMNIST("data", train=False, download=True, transform=transform)',
            *([f"training_data = Subset(training_data, range({config.train_images}))"] if config.train_images else []),
        ]
    return [
        "# the synthetic garments are drawn by this package",
        'train, test = batches.load("synthetic")',
        *([f"train = train.first({config.train_images})"] if config.train_images else []),
        f'training_data = TensorDataset(batches.scale(train.pixels, "{config.pixels}"), train.labels)',
        f'test_data = TensorDataset(batches.scale(test.pixels, "{config.pixels}"), test.labels)',
    ]


def _loaders(config: TrainConfig) -> list[str]:
    return [
        f"torch.manual_seed({config.seed})",
        f"train_dataloader = DataLoader(training_data, batch_size={config.batch_size}, shuffle=True)",
        "test_dataloader = DataLoader(test_data, batch_size=1000)",
    ]


def _augment(config: TrainConfig) -> list[str]:
    if config.augmentation == "none":
        return []
    crop = f"transforms.RandomCrop(28, padding=2, fill={_BLACK[config.pixels]})"
    return [f"augment = transforms.Compose([transforms.RandomHorizontalFlip(), {crop}])"]


def model_lines(model: str) -> str:
    """What builds a fresh model of this name, its class included."""
    if model == "resnet18":
        return (
            "from torchvision.models import resnet18\n\n"
            "model = resnet18(num_classes=10)\n"
            "model.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)"
        )
    name = MODEL_CLASSES[model]
    return f"\n{class_source(name)}\n\n\nmodel = {name}()"


def class_source(name: str) -> str:
    """The source of a model class, read from the file that the app itself runs.

    Read once, by one thread: Python 3.11's parser fails where two are in it, https://github.com/python/cpython/issues/106905
    """
    return _sources.get(name, None, lambda: _class_source(name))


def _class_source(name: str) -> str:
    source = (Path(__file__).parents[2] / "models" / "networks.py").read_text()
    node = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
    return (ast.get_source_segment(source, node) or "").replace("CLASSES", "10")


def _setup(config: TrainConfig) -> str:
    device = '"cuda" if torch.cuda.is_available() else "cpu"' if config.device == "auto" else f'"{config.device}"'
    channels_last = (
        ", memory_format=torch.channels_last" if config.precision == "bf16" and config.model != "mlp" else ""
    )
    lines = [
        f"device = {device}",
        f"model = model.to(device{channels_last})",
        "loss_fn = nn.CrossEntropyLoss()",
        f"optimizer = torch.optim.{_optimizer(config)}",
    ]
    if config.schedule == "cosine":
        steps = "EPOCHS * len(train_dataloader)"
        lines.append(f"scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={steps})")
    return "\n".join(lines)


def _optimizer(config: TrainConfig) -> str:
    name = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}[config.optimizer]
    momentum = f", momentum={config.momentum:g}" if config.optimizer == "sgd" and config.momentum else ""
    return f"{name}(model.parameters(), lr={config.learning_rate:g}{momentum}, weight_decay={config.weight_decay:g})"


def _loops(config: TrainConfig) -> str:
    forward = "loss = loss_fn(model(X.to(device)), y.to(device))"
    if config.precision == "bf16":
        forward = f"with torch.autocast(device, torch.bfloat16):\n            {forward}"
    augment = "\n        X = torch.stack([augment(image) for image in X])" if config.augmentation != "none" else ""
    schedule = "\n        scheduler.step()" if config.schedule == "cosine" else ""
    return _LOOPS.format(augment=augment, forward=forward, schedule=schedule)


_LOOPS = """
def train_loop(dataloader, model, loss_fn, optimizer):
    model.train()
    for X, y in dataloader:{augment}
        {forward}
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(){schedule}


def test_loop(dataloader, model, loss_fn):
    model.eval()
    total, correct = 0.0, 0
    with torch.no_grad():
        for X, y in dataloader:
            logits = model(X.to(device))
            total += loss_fn(logits, y.to(device)).item() * len(y)
            correct += (logits.argmax(1) == y.to(device)).sum().item()
    loss, accuracy = total / len(dataloader.dataset), correct / len(dataloader.dataset)
    print(f"test loss {{loss:.4f}}, accuracy {{accuracy:.1%}}")
    return loss
"""

_MAIN = """
os.makedirs("model_save", exist_ok=True)
for t in range(EPOCHS):
    train_loop(train_dataloader, model, loss_fn, optimizer)
    loss = test_loop(test_dataloader, model, loss_fn)
    torch.save({
        "epoch": t,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "loss": loss,
    }, os.path.join("model_save", str(t)))
"""

_RESUME = """
checkpoint = torch.load({path!r}, map_location=device, weights_only=True)
model.load_state_dict(checkpoint["model_state_dict"]){optimizer}
print("loss_last", checkpoint["loss"])
test_loop(test_dataloader, model, loss_fn)  # the same, or the load is wrong
"""

_ADVANCE = """
for _ in range((checkpoint["epoch"] + 1) * len(train_dataloader)):
    scheduler.step()  # the cosine stands where these epochs left it"""

_NOW = """
print("loss_now", loss)
"""

_SAVE = """
torch.save(model.state_dict(), "model_weights.pth")
torch.save(model, "model.pth")
"""
