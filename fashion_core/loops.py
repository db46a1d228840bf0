"""The tutorial's two loops: train for one pass over some batches, and measure."""

import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fashion_core.optimizers import step

Batches = Iterable[tuple[Tensor, Tensor]]
NO_AUTOCAST = nullcontext()


def train_loop(
    batches: Batches,
    model: nn.Module,
    loss_fn: nn.Module,
    optimizer: Optimizer,
    autocast: AbstractContextManager[object] = NO_AUTOCAST,
) -> Iterator[Tensor]:
    """Train on each batch as the caller asks for it, and give its loss as a scalar that stays on the device.

    Between two batches the caller may look at the clock, change the learning rate, or leave.
    """
    model.train()
    for inputs, labels in batches:
        with autocast:
            loss = loss_fn(model(inputs), labels)
        loss.backward()
        step(optimizer)
        yield loss.detach()


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
