"""All that the tests' team trains: what stands in files beside this one, and models that are hard to tell apart."""

from functools import partial
from pathlib import Path

import torch
from lenet_models import LeNet
from residual_models import ResidualNet
from torch import Tensor, nn
from torch.nn import functional


class Flat(nn.Module):
    """One linear layer, with what is done to its logits beside it: no weight tells which that is."""

    def __init__(self, channels: int, height: int, width: int, classes: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.linear = nn.Linear(channels * height * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.flatten(1)) * self.scale
        return logits


class Negative(Flat):
    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(x)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels * height * width, 16)
        self.middle = nn.Linear(16, 16)
        self.again = nn.Linear(16, 16)
        self.again.weight = self.middle.weight
        self.last = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.again(self.middle(self.first(x.flatten(1))).relu()).relu())
        return logits


class Frozen(Flat):
    """Its first layer is never trained, as that of a model which somebody else has trained."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__(1, 1, 16, classes)
        self.before = nn.Linear(channels * height * width, 16).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.before(x.flatten(1)))


class Unpicklable(Flat):
    """It can be trained, and not saved as a whole."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__(channels, height, width, classes)
        self.twice = lambda x: 2 * x

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.twice(super().forward(x))  # type: ignore[no-untyped-call]
        return doubled


class Hooked(Flat):
    """A hook is code, which no whole model of anyone may carry."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__(channels, height, width, classes)
        self.register_forward_hook(_double)


def _double(_model: nn.Module, _images: object, logits: Tensor) -> Tensor:
    return 2 * logits


class Keeping(Flat):
    """With an attribute that is an object of another kind."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__(channels, height, width, classes)
        self.about = Path("notes")


class Settled(Flat):
    """With settings of every kind that a whole model may have."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__(channels, height, width, classes)
        self.limits, self.names, self.nothing = (1.5, -1), ["one", {"two": (2, None)}], None
        self.activation, self.kind, self.use_hooks = functional.relu, nn.Linear, True
        self.steps = [functional.relu, functional.gelu]
        self.shape = torch.Size((channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(super().forward(x) + 5) - 5


class Branching(Flat):
    """It prints, and decides in Python by the numbers that it sees, which ``torch.export`` refuses."""

    def forward(self, x: Tensor) -> Tensor:
        print("a team's own word")
        logits = super().forward(x)
        return logits if x.sum() >= 0 else -logits


MODELS = {
    "lenet": LeNet,
    "residual": ResidualNet,
    "flat": Flat,
    "flat-half": partial(Flat, scale=0.5),
    "negative": Negative,
    "tied": Tied,
    "frozen": Frozen,
    "unpicklable": Unpicklable,
    "hooked": Hooked,
    "keeping": Keeping,
    "settled": Settled,
    "branching": Branching,
}
