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
    """Mean and variance over all processes, from each one's own as Chan, Golub and LeVeque combine them.

    Source: https://doi.org/10.1080/00031305.1983.10483115
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        x = inputs.float()
        count = x.new_full((1,), x.numel() // x.shape[1])
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0) if x.numel() else x.new_zeros(2, x.shape[1])
        mine = torch.cat([mean, variance, count])
        all_of_them = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(all_of_them, mine)
        means, variances, counts = torch.split(torch.stack(all_of_them), [len(mean), len(mean), 1], 1)
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        variance = ((variances + (means - mean) ** 2) * counts).sum(0) / total
        scale = torch.rsqrt(variance + eps)
        normalized = (x - _per_channel(mean)) * _per_channel(scale)
        ctx.save_for_backward(normalized, weight * scale, total)
        ctx.mark_non_differentiable(mean, variance, total)
        output = (normalized * _per_channel(weight) + _per_channel(bias)).to(inputs.dtype)
        return output, mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        normalized, factor, total = ctx.saved_tensors
        gradient = gradients[0].float()
        of_bias, of_weight = gradient.sum((0, 2, 3)), (gradient * normalized).sum((0, 2, 3))
        sums = torch.stack([of_bias, of_weight])
        dist.all_reduce(sums)
        by_mean, by_scale = (_per_channel(one) for one in sums / total)
        of_inputs = (gradient - by_mean - normalized * by_scale) * _per_channel(factor)
        return of_inputs.to(gradients[0].dtype), of_weight, of_bias, None


def _per_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
