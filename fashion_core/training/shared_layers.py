"""Layers that compute, on each process's part of a batch, what they would compute on the whole of it."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from fashion_core.training.group import Group


def share_layers(module: nn.Module, group: Group, images: Callable[[], int]) -> None:
    """Let dropout and batch norm see the whole batch, of ``images()``; parameters, buffers and names stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, SharedDropout(child.p, group, images))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _synchronized(child))
        else:
            share_layers(child, group, images)


def _synchronized(layer: nn.BatchNorm2d) -> nn.Module:
    """torch's own synchronizes on GPUs alone."""
    kind = nn.SyncBatchNorm if layer.weight.is_cuda else SynchronizedBatchNorm
    made: nn.Module = kind(layer.num_features, layer.eps, layer.momentum).to(layer.weight.device)
    made.load_state_dict(layer.state_dict())
    return made


class SharedDropout(nn.Module):
    """Drop of each image what one process would drop, which draws for the whole batch at once."""

    def __init__(self, p: float, group: Group, images: Callable[[], int]) -> None:
        super().__init__()
        self.p, self.group, self.images = p, group, images

    def forward(self, inputs: Tensor) -> Tensor:
        """Takes and gives (B, …), B of them this process's share of the batch."""
        if not self.training:
            return inputs
        count = self.images()
        factors = functional.dropout(inputs.new_ones(count, *inputs.shape[1:]), self.p)
        return inputs * factors[self.group.share(count)]


class SynchronizedBatchNorm(nn.BatchNorm2d):
    """Batch norm on the CPU over the parts of a batch that all processes hold; some may hold none of it."""

    def forward(self, input: Tensor) -> Tensor:
        """Takes and gives (B, C, H, W)."""
        if not self.training:
            return super().forward(input)
        output, mean, variance = self._normalize(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
        return output

    def _normalize(self, input: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = _Normalize.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        return found


class _Normalize(Function):
    """What torch's own batch norm computes on the CPU, operation for operation, with sums over all processes.

    Gives also the mean and the unbiased variance of each channel, (C,) float32.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        x = inputs.float()
        mean, variance, count = _moments(x)
        scale = (1 / torch.sqrt(variance + eps)).float()
        factor = scale * weight
        output = torch.addcmul(_per_channel(bias - mean * factor), x, _per_channel(factor))
        ctx.save_for_backward(x, mean, scale, factor, count)
        unbiased = (variance * count / (count - 1)).float()
        ctx.mark_non_differentiable(mean, unbiased)
        return output.to(inputs.dtype), mean, unbiased

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, scale, factor, count = ctx.saved_tensors
        gradient, centred = gradients[0].float(), x - _per_channel(mean)
        mine = torch.stack([_sums(gradient), _sums(gradient * centred)])
        shift, slope = _from_all(mine).sum(0) / count
        of_inputs = gradient - _per_channel(shift.float()) - centred * _per_channel((slope * scale * scale).float())
        of_bias, of_weight = mine.float()
        return (of_inputs * _per_channel(factor)).to(gradients[0].dtype), of_weight * scale, of_bias, None


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (float32), variance and number of the values in each channel, of all processes together.

    Each process sums the squares around a centre of its own, so that all of it is one message.
    """
    count = x.new_full((x.shape[1],), x.numel() // x.shape[1], dtype=torch.float64)
    sums = _sums(x)
    centre = (sums / count.clamp(min=1)).float()
    mine = torch.stack([count, sums, centre.double(), _sums((x - _per_channel(centre)).square())])
    counts, sums, centres, squares = _from_all(mine).unbind(1)
    count = counts.sum(0)
    mean = sums.sum(0) / count
    aside = centres - mean
    squares = squares + 2 * aside * (sums - counts * centres) + counts * aside**2
    return mean.float(), squares.sum(0) / count, count[:1]


def _sums(values: Tensor) -> Tensor:
    """Of each channel, in float64: float32 would lose what the parts of a batch have in common."""
    return values.sum((0, 2, 3), dtype=torch.float64)


def _from_all(values: Tensor) -> Tensor:
    """The values of each process in a row."""
    rows = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, values)
    return torch.stack(rows)


def _per_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
