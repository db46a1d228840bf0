"""A training step that all processes of a group take together, through torch's DistributedDataParallel."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fashion_core import loops
from fashion_core.loops import TrainStep
from fashion_core.training.captured_step import preserve_state
from fashion_core.training.group import Group

_NAMES = inspect.signature(DistributedDataParallel).parameters
_FORWARD_SYNC = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"  # before torch 2.13


class GroupStep:
    """A ``TrainStep`` in which each process computes the gradients of its share of the batch, and all apply their sum.

    Args:
        step: the step of one process, whose model and optimizer are trained.
        images: says how many images the whole of the next batch has.
    """

    def __init__(self, step: TrainStep, group: Group, images: Callable[[], int], device: torch.device) -> None:
        self.step, self._group, self._images, self._device = step, group, images, device
        devices = [device] if device.type == "cuda" else None
        options: dict[str, Any] = {_FORWARD_SYNC: False}  # the buffers of all processes are the same
        self._model = DistributedDataParallel(step.model, device_ids=devices, **options)
        self._loss_fn = nn.CrossEntropyLoss(reduction="sum")
        self._is_warm = False

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Train on a batch and return this process's part of its mean loss before the step, a scalar on the device.

        After its first step torch packs the gradients in another order, and so adds them up in another: that step is
        taken once for nothing, or a process that continues would begin with other bits.
        """
        if not self._is_warm:
            with preserve_state(self.step, self._device):
                self._take(inputs, labels)
            self._is_warm = True
        return self._take(inputs, labels)

    def _take(self, inputs: Tensor, labels: Tensor) -> Tensor:
        with self.step.autocast:
            loss: Tensor = self._loss_fn(self._model(inputs), labels) / self._images()
        (loss * self._group.size).backward()  # type: ignore[no-untyped-call]  # of which torch takes the mean
        loops.step(self.step.optimizer)
        return loss.detach()
