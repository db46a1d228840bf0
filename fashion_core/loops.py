"""The tutorial's two loops: train for one pass over some batches, and measure."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fashion_core.optimizers import step

Batches = Iterable[tuple[Tensor, Tensor]]
Step = Callable[[Tensor, Tensor], Tensor]
NO_AUTOCAST = nullcontext()


@dataclass(frozen=True)
class TrainStep:
    """What training does with one batch."""

    model: nn.Module
    loss_fn: nn.Module
    optimizer: Optimizer
    autocast: AbstractContextManager[object] = NO_AUTOCAST

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of this batch before the step, as a scalar that stays on the device."""
        with self.autocast:
            loss: Tensor = self.loss_fn(self.model(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        step(self.optimizer)
        return loss.detach()


def train_loop(batches: Batches, model: nn.Module, train_step: Step) -> Iterator[Tensor]:
    """Train on each batch as the caller asks for it, and give its loss.

    Between two batches the caller may look at the clock, change the learning rate, or leave.
    """
    model.train()
    for inputs, labels in batches:
        yield train_step(inputs, labels)


@dataclass(frozen=True)
class Evaluation:
    """What a pass over the test images gave: the mean ``loss``, ``accuracy`` (0 to 1), and each image's loss.

    ``losses`` is (N,) float32 on the CPU, in the order of the images.
    """

    loss: float
    accuracy: float
    losses: Tensor

    @property
    def standard_error(self) -> float:
        """Of the mean loss."""
        return standard_error(self.losses)


def standard_error(values: Tensor) -> float:
    """Of the mean of independent values."""
    return (values.double().std() / math.sqrt(len(values))).item()


@torch.inference_mode()
def test_loop(batches: Batches, model: nn.Module, loss_fn: nn.Module) -> Evaluation:
    """Measure all images of all batches; the model is left in ``eval`` mode.

    ``loss_fn`` gives the loss of each image, as ``nn.CrossEntropyLoss(reduction="none")`` does.
    """
    model.eval()
    losses, correct = [], []
    for inputs, labels in batches:
        logits = model(inputs)
        losses.append(loss_fn(logits, labels))
        correct.append(logits.argmax(1) == labels)
    all_losses = torch.cat(losses).float().cpu()
    accuracy = int(torch.cat(correct).sum()) / len(all_losses)
    return Evaluation(all_losses.double().mean().item(), accuracy, all_losses)
