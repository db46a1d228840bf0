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
        result: tuple[Tensor, ...] = _Normalize.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        output, mean, variance, count = result
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return output


class _Normalize(Function):
    """What torch's own batch norm computes on the CPU, operation for operation, with sums over all processes."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        x = inputs.float()
        counted = _sum_of_all(torch.cat([_sums(x), x.new_full((1,), x.numel() // x.shape[1], dtype=torch.float64)]))
        count = counted[-1]
        mean = (counted[:-1] / count).float()
        variance = _sum_of_all(_sums((x - _per_channel(mean)) ** 2)) / count
        scale = (1 / torch.sqrt(variance + eps)).float()
        factor = scale * weight
        output = torch.addcmul(_per_channel(bias - mean * factor), x, _per_channel(factor))
        ctx.save_for_backward(x, mean, scale, factor, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return output.to(inputs.dtype), mean, variance.float(), count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, scale, factor, count = ctx.saved_tensors
        gradient, centred = gradients[0].float(), x - _per_channel(mean)
        mine = torch.stack([_sums(gradient), _sums(gradient * centred)])
        shift, slope = _sum_of_all(mine.clone()) / count
        of_inputs = gradient - _per_channel(shift.float()) - centred * _per_channel((slope * scale * scale).float())
        of_bias, of_weight = mine.float()
        return (of_inputs * _per_channel(factor)).to(gradients[0].dtype), of_weight * scale, of_bias, None


def _sums(values: Tensor) -> Tensor:
    """Of each channel, in float64: float32 would lose what the parts of a batch have in common."""
    return values.sum((0, 2, 3), dtype=torch.float64)


def _sum_of_all(values: Tensor) -> Tensor:
    dist.all_reduce(values)
    return values


def _per_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
