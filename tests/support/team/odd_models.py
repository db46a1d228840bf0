"""One good model, and one for each thing that a team's model may do wrong."""

import random

import numpy as np
import torch
from torch import Tensor, nn


class Good(nn.Module):
    """As a model should be; each of the others does one thing else."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.last = nn.Linear(784, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(x.flatten(1))
        return logits


def raises(classes: int) -> nn.Module:
    raise ValueError("no\n such   thing")


def exits() -> nn.Module:
    raise SystemExit(3)


class Module(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()


def positional(classes: int, /) -> nn.Module:
    return Good(classes)


def no_module() -> list[int]:
    return []


class NoParameters(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10]


class Lazy(Good):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.LazyLinear(10)


class Complex(Good):
    def __init__(self) -> None:
        super().__init__()
        self.phases = nn.Parameter(torch.zeros(3, dtype=torch.complex64))


class OddBuffer(Good):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(3, dtype=torch.uint16))


class InfiniteBuffer(Good):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((3,), float("-inf")))


class ExtraState(Good):
    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 1}

    def set_extra_state(self, state: object) -> None:
        pass


class OtherShape(Good):
    def __init__(self, classes: int) -> None:
        super().__init__(classes + 1)


class OneNumber(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum()


class Tuple(Good):
    def forward(self, x: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return super().forward(x), None


class WholeNumbers(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).long()


class Half(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).half()


class Nan(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 0 * 0


class NanInTraining(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (float("nan") if self.training else 1)


class OtherSize(Good):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(100, 10)


class NoGradient(Good):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class BesideTheLoss(Good):
    """A loss is computed, and nothing that is a parameter has a part in it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach().requires_grad_()


class PythonRandom(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 + random.random())


class NumpyRandom(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 + float(np.random.rand()))


class OwnGenerator(Good):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 + torch.rand(1, generator=self.generator))


class Unseeded(Good):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Parameter(torch.tensor(np.random.default_rng().random(3), dtype=torch.float32))


class Counts(Good):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class Grows(Good):
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = torch.cat([self.seen, torch.zeros(1)])
        return super().forward(x)


class Forgets(Good):
    """What it learns about its images is in no saved file."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean().detach()
        return super().forward(x - self.mean)


class Hides(Good):
    """The same in an object of its own, which can't be pickled either."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = [lambda: 0.0]

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(lambda: 1.0)
        return super().forward(x) * len(self.seen)


class Loses(Good):
    """Its ``state_dict`` is not what it loads."""

    def load_state_dict(self, state_dict: object, *_: object, **__: object) -> None:
        raise RuntimeError("not like that")


class Mute(Good):
    def __repr__(self) -> str:
        raise ValueError("no name")


class Elsewhere(Good):
    """On a device that holds no numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.to("meta")


MODELS = {
    "raises": raises,
    "exits": exits,
    "asks-for-more": Module,
    "positional": positional,
    "no-module": no_module,
    "no-parameters": NoParameters,
    "lazy": Lazy,
    "complex": Complex,
    "odd-buffer": OddBuffer,
    "infinite-buffer": InfiniteBuffer,
    "extra-state": ExtraState,
    "other-shape": OtherShape,
    "one-number": OneNumber,
    "tuple": Tuple,
    "whole-numbers": WholeNumbers,
    "half": Half,
    "nan": Nan,
    "nan-in-training": NanInTraining,
    "other-size": OtherSize,
    "no-gradient": NoGradient,
    "beside-the-loss": BesideTheLoss,
    "python-random": PythonRandom,
    "numpy-random": NumpyRandom,
    "own-generator": OwnGenerator,
    "unseeded": Unseeded,
    "counts": Counts,
    "grows": Grows,
    "forgets": Forgets,
    "hides": Hides,
    "loses": Loses,
    "mute": Mute,
    "elsewhere": Elsewhere,
    "good": Good,
}
