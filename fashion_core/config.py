"""Every setting of a run, once: its default, bounds and help. Forms, flags and checks are made from here."""

import os
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from fashion_core.errors import ConfigError, is_blank, is_one_line

CLASS_NAMES: Final = (  # in the order of their labels
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
CLASSES: Final = len(CLASS_NAMES)
MAX_NAME: Final = 80  # characters
MAX_SEEDS: Final = 30  # with which one run is repeated
SIDE: Final = 28  # pixels of an image, both ways
PIXEL_MEAN, PIXEL_STD = 0.2860, 0.3530  # of Fashion-MNIST's training images, scaled to 0..1
TRAINING_IMAGES = {"synthetic": 12_000, "fashion-mnist": 60_000}
DATASET_LABELS = {"synthetic": "synthetic garments", "fashion-mnist": "Fashion-MNIST"}
MODEL_LABELS = {"mlp": "NeuralNetwork (MLP)", "cnn": "small CNN", "resnet18": "ResNet-18"}
LONGEST_MODEL_NAME: Final = 40  # characters
MODEL_NAME: Final = r"^[a-z0-9]+([-_][a-z0-9]+)*$"
MODEL_CLASSES = {"mlp": "NeuralNetwork", "cnn": "SmallCNN", "resnet18": "ResNet"}
LONGEST_DATASET_NAME: Final = 40  # characters
DATASET_NAME: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
MOST_IMAGES: Final = 10_000_000  # of one dataset, to train on


_PACKAGE: Final = Path(__file__).resolve().parent
IS_INSTALLED: Final = (_PACKAGE / "dashboard").is_dir()  # from a wheel, which holds app and pages inside the package
APP: Final = (_PACKAGE / "dashboard" if IS_INSTALLED else _PACKAGE.parent) / "app.py"
COMMAND: Final = "fashion-core" if IS_INSTALLED else "python -m fashion_core"

Fit = Literal["pad", "crop", "stretch"]  # how a picture of another size is made one of a dataset's
FITS: Final[tuple[Fit, ...]] = typing.get_args(Fit)


class Shape(NamedTuple):
    """What a model takes and gives: images of (channels, height, width), and a logit for each of ``classes``."""

    channels: int
    height: int
    width: int
    classes: int


FASHION: Final = Shape(1, SIDE, SIDE, CLASSES)


def variable(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """What an environment variable says; empty if it is not set, or set to nothing as by a line ``NAME=`` in a file."""
    value = environment.get(name, "")
    return value if value.strip() else ""


def _check_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", value):
        raise ValueError("should be auto or cpu or mps or cuda or cuda:N")
    return value


def _check_name(value: str) -> str:
    if not is_one_line(value):
        raise ValueError("should be one line of printable characters")
    return "" if is_blank(value) else value.strip()


def _setting(title: str, default: Any, description: str, **bounds: Any) -> Any:
    return Field(default, title=title, description=description, **bounds)


class TrainConfig(BaseModel):
    """The settings of a training run, by default the tutorial's. Build it with ``parse_config``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, AfterValidator(_check_name)] = _setting(
        "Name", "", "The name shown in lists; if empty, it is made from the settings.", max_length=MAX_NAME
    )
    dataset: Annotated[str, StringConstraints(pattern=DATASET_NAME, max_length=LONGEST_DATASET_NAME)] = _setting(
        "Dataset", "synthetic",
        "synthetic (garments, drawn here), fashion-mnist (downloaded or copied once), or one that was added.",
    )  # fmt: skip
    pixels: Literal["unit", "raw", "standard"] = _setting(
        "Pixels", "unit",
        "unit: 0 to 1, as torchvision's ToTensor; raw: 0 to 255; "
        f"standard: mean {PIXEL_MEAN:.4f}, std {PIXEL_STD:.4f}.",
    )  # fmt: skip
    model: Annotated[str, StringConstraints(pattern=MODEL_NAME, max_length=LONGEST_MODEL_NAME)] = _setting(
        "Model", "mlp",
        "mlp: the tutorial's NeuralNetwork; cnn: small, batch norm, dropout; resnet18: torchvision's; "
        "or one of FASHION_MODELS.",
    )  # fmt: skip
    epochs: int = _setting("Epochs", 2, "How many times to go through the training images.", ge=1, le=10_000)
    batch_size: int = _setting("Batch size", 64, "Images per optimizer step.", ge=1, le=60_000)
    optimizer: Literal["sgd", "adam", "adamw"] = _setting(
        "Optimizer", "sgd", "The algorithm that updates the weights from the gradients."
    )
    learning_rate: float = _setting(
        "Learning rate", 1e-3, "The size of a step; if it is too large, the loss becomes nan.", gt=0
    )
    momentum: float = _setting("Momentum", 0.0, "How much of the last step SGD reuses; Adam ignores it.", ge=0, lt=1)
    weight_decay: float = _setting("Weight decay", 0.0, "How strongly weights are pulled to zero.", ge=0, le=1)
    schedule: Literal["constant", "cosine"] = _setting(
        "Schedule", "constant", "The learning rate over time: constant, or down to zero along a cosine."
    )
    augmentation: Literal["none", "flip and shift"] = _setting(
        "Augmentation", "none", "Mirror training images at random and shift them by up to two pixels."
    )
    seed: int = _setting(
        "Seed",
        0,
        "Sets the initial weights, the order and dropout: same seed, threads and processes, same run.",
        ge=0,
        le=2**31 - 1,
    )
    device: Annotated[str, AfterValidator(_check_device)] = _setting(
        "Device", "auto", "auto (a GPU if there is one), cpu, cuda, cuda:N or mps."
    )
    threads: int = _setting(
        "Threads", 0, "CPU threads; 0: the fastest number, at most one a core and the CPU quota.", ge=0, le=256
    )
    processes: int = _setting(
        "Processes", 1,
        "How many processes share each batch: one a GPU, or a few on the CPU; more hosts with torchrun.",
        ge=1, le=1024,
    )  # fmt: skip
    precision: Literal["fp32", "bf16"] = _setting(
        "Precision", "fp32",
        "bf16 trains under autocast, convolutions with channels last, and can be faster where the device has "
        "instructions for it; losses are always measured in fp32.",
    )  # fmt: skip
    train_images: int = _setting(
        "Training images", 0, "Use only the first N images; 0: all of them.", ge=0, le=MOST_IMAGES
    )
    keep: Literal["all", "best and last", "last"] = _setting(
        "Keep checkpoints", "all", "Which checkpoints to keep on disk as training continues."
    )

    @property
    def images_per_epoch(self) -> int:
        """Of a dataset that was added, ``data.description.resolved`` has written the number down."""
        return self.train_images or TRAINING_IMAGES[self.dataset]

    @property
    def batches_per_epoch(self) -> int:
        """How many optimizer steps one epoch takes; the last batch may be smaller."""
        return -(-self.images_per_epoch // self.batch_size)

    def images_in_batch(self, batch: int) -> int:
        """How many images this batch of an epoch has, counted from 0."""
        return min(self.batch_size, self.images_per_epoch - batch * self.batch_size)

    @property
    def trained_on(self) -> dict[str, str]:
        """What a model has to be tested on to give the same losses."""
        return {"dataset": self.dataset, "pixels": self.pixels}

    @property
    def title(self) -> str:
        return self.name or f"{self.model} {self.optimizer} {self.learning_rate:g}"

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.dataset in TRAINING_IMAGES:
            self.check_train_images(DATASET_LABELS[self.dataset], TRAINING_IMAGES[self.dataset])
        elif not self.train_images:
            return self  # how many there are is known to its description, and this is checked again with that
        if self.batch_size > self.images_per_epoch:
            larger = f"Batch size {self.batch_size:,} is larger than the {self.images_per_epoch:,} training images"
            raise ValueError(f"{larger}; choose a smaller batch")
        if self.processes > self.batch_size:
            raise ValueError(f"{self.processes:,} processes can't share batches of {self.batch_size:,}; choose fewer")
        if self.model == "resnet18" and 1 in (self.batch_size, self.images_per_epoch % self.batch_size):
            raise ValueError("ResNet-18 can't train on a batch of one image; choose another batch size")
        return self

    def check_train_images(self, label: str, available: int) -> None:
        """Raise ``ValueError`` if a dataset has fewer."""
        if self.train_images > available:
            raise ValueError(f"{label} has {available:,} training images; ask for no more")


def model_label(name: str) -> str:
    """What people read of a model's name: a team's own is called as its module calls it."""
    return MODEL_LABELS.get(name, name)


@dataclass(frozen=True)
class Setting:
    """One field of ``TrainConfig`` as a form or a flag needs it; absent bounds are None."""

    name: str
    label: str
    help: str
    default: str | int | float
    kind: type
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None

    @property
    def explanation(self) -> str:
        low, high = self.minimum, self.maximum
        if high is not None and low is not None:
            return f"{self.help} {low:,.10g} to {high:,.10g}."
        return self.help if low is None else f"{self.help} More than {low:,.10g}."

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def settings() -> list[Setting]:
    """All settings, in the order in which forms and help show them."""
    return [
        Setting(
            name=name,
            label=field.title or name,
            help=field.description or "",
            default=field.default,
            kind=type(field.default),
            choices=_choices(name, field),
            minimum=_bound(field, "ge", "gt"),
            maximum=_bound(field, "le", "lt"),
        )
        for name, field in TrainConfig.model_fields.items()
    ]


def _choices(name: str, field: FieldInfo) -> tuple[str, ...]:
    if known := {"dataset": DATASET_LABELS, "model": MODEL_LABELS}.get(name):
        return tuple(known)
    return typing.get_args(field.annotation) if typing.get_origin(field.annotation) is Literal else ()


def _bound(field: FieldInfo, *names: str) -> float | None:
    bounds = (getattr(item, name, None) for item in field.metadata for name in names)
    return next((float(bound) for bound in bounds if bound is not None), None)


def parse_config(values: Mapping[str, Any]) -> TrainConfig:
    """Check these settings. Raises ``ConfigError`` with one sentence that names each bad one."""
    try:
        return TrainConfig.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(explain(error)) from error


_UNKNOWN_OR_MISSING = {"extra_forbidden": "is not a setting of this version", "missing": "is missing"}


def explain(error: ValidationError) -> str:
    """Say in one sentence what pydantic refused."""
    return "; ".join(_explain_one(detail) for detail in error.errors()) + "."


def _explain_one(detail: ErrorDetails) -> str:
    path = ".".join(map(str, detail["loc"]))
    message = detail["msg"].removeprefix("Value error, ")
    if not path:
        return message
    field = TrainConfig.model_fields.get(str(detail["loc"][-1]))
    label = field.title if field and field.title else path
    if field and detail["type"] == "string_pattern_mismatch":
        return f"{label} should be a name such as my-{label.lower()}, not {detail['input']!r}"
    if detail["type"] in _UNKNOWN_OR_MISSING:
        return f"{path} {_UNKNOWN_OR_MISSING[detail['type']]}"
    message = message.removeprefix("Input ").removeprefix("String ")
    if detail["type"] != "literal_error":  # there the commas separate the choices
        message = message.partition(",")[0]
    return f"{label} {message}, not {detail['input']!r}"


@dataclass(frozen=True)
class Preset:
    label: str
    help: str
    values: Mapping[str, Any]
    expect: Mapping[str, str] = field(default_factory=dict)  # by dataset: a sentence on what these values lead to


_ACCURATE = {"pixels": "standard", "optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine"}
PRESETS: Mapping[str, Preset] = {  # the first one is what the form begins with
    "demo": Preset(
        "Quick demo",
        "The tutorial's network with Adam on synthetic garments, 8 epochs: ten seconds, and a good-looking curve.",
        {"dataset": "synthetic", "optimizer": "adam", "epochs": 8},
    ),
    "seed": Preset(
        "The tutorial's",
        "MLP, SGD 0.001, batch 64, 2 epochs.",
        {},
        {
            "synthetic": "Expect no more than chance, about 10 % of the test images: the learning rate is small, and "
            "synthetic garments have a fifth of Fashion-MNIST's training images. Quick demo learns them.",
            "fashion-mnist": "Expect about half of the test images, as in the tutorial: the loss is still falling.",
        },
    ),
    "accurate-mlp": Preset(
        "Accurate MLP",
        "The tutorial's network trained well: AdamW, cosine, 20 epochs.",
        {**_ACCURATE, "learning_rate": 1e-3, "batch_size": 128, "epochs": 20},
    ),
    "accurate-cnn": Preset(
        "Accurate CNN",
        "The small CNN with AdamW and cosine, 12 epochs, in bf16 where the device has it.",
        {
            **_ACCURATE,
            "dataset": "fashion-mnist",
            "model": "cnn",
            "learning_rate": 2e-3,
            "batch_size": 64,
            "epochs": 12,
            "precision": "bf16",
        },
        {"fashion-mnist": "Expect about 93 % of the test images."},
    ),
}


def expectation(preset: str, config: TrainConfig) -> str:
    """What a preset leads to on the dataset of these settings; nothing once others that matter were changed."""
    chosen = PRESETS[preset]
    same = config.model_dump(exclude={"name", "device", "threads", "precision", "keep", "seed"})
    asked = parse_config({**chosen.values, "dataset": config.dataset})
    return chosen.expect.get(config.dataset, "") if same.items() <= asked.model_dump().items() else ""
