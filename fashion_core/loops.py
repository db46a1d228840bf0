"""The tutorial's two loops: train for one pass over some batches, and measure."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Batches = Iterable[tuple[Tensor, Tensor]]


def train_loop(
    batches: Batches,
    model: nn.Module,
    loss_fn: nn.Module,
    optimizer: Optimizer,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[Tensor]:
    """Train on each batch as the caller asks for it, and give its loss as a scalar that stays on the device.

    Between two batches the caller may look at the clock, change the learning rate, or leave.
    """
    model.train()
    for inputs, labels in batches:
        with autocast():
            loss = loss_fn(model(inputs), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.detach()


@torch.inference_mode()
def test_loop(batches: Batches, model: nn.Module, loss_fn: nn.Module) -> tuple[float, float]:
    """Mean loss over all images of all batches, and accuracy (0 to 1); the model is left in ``eval`` mode.

    ``loss_fn`` gives the mean over a batch, as ``nn.CrossEntropyLoss()`` does.
    """
    model.eval()
    count, total, correct = 0, 0.0, 0
    for inputs, labels in batches:
        logits = model(inputs)
        total += loss_fn(logits, labels).item() * len(labels)
        correct += int((logits.argmax(1) == labels).sum())
        count += len(labels)
    return total / count, correct / count
