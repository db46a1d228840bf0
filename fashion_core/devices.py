"""The devices of this machine, which one to use, and how to compute the same bits each time."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from fashion_core.config import variable
from fashion_core.errors import DeviceError
from fashion_core.models.torch_internals import cpu_capabilities, onednn_matmul

_BF16_INSTRUCTIONS = {"avx512_bf16": "BF16", "bf16": "BF16", "amx_bf16": "AMX"}  # of CPUs, by torch's names


def available() -> dict[str, str]:
    """Return the name of each usable device and its processor, the best one first."""
    found = {f"cuda:{index}": _ascii(torch.cuda.get_device_name(index)) for index in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    here = cpu_capabilities()
    kind = here.get("cpu_name", "")
    kind = platform.machine() if kind in ("", "Unknown") else _ascii(kind)
    extensions = [text for name, text in _BF16_INSTRUCTIONS.items() if here.get(name)]
    # With the instructions that torch computes with: others may round differently.
    return {**found, "cpu": f"{kind} ({', '.join([torch.backends.cpu.get_cpu_capability(), *extensions])})"}


def environment_on(device: torch.device) -> dict[str, str | None]:
    """What decides, beside the settings, which bits this process computes there."""
    here = available()
    processor = here.get(str(device)) or here[f"{device.type}:0"]
    versions = {"python": platform.python_version(), "torch": metadata.version("torch")}
    return {**versions, "processor": processor, "mkl": mkl_order()}


def _ascii(name: str) -> str:
    """Drop signs such as ™ that makers put into the names of their devices."""
    return name.encode("ascii", "ignore").decode()


def describe() -> dict[str, Any]:
    """Describe this machine as JSON for ``runs.torch_process``; ``automatic`` is the device that "auto" takes."""
    here = available()
    return {
        "automatic": next(iter(here)),
        "devices": here,
        "bf16": [name for name in here if has_bf16(torch.device(name))],
        "threads": automatic_threads(),
        "cpus": usable_cpus(),
        "mkl": mkl_order(),
    }


def mkl_order() -> str | None:
    """In which order MKL adds, as it calls that; None without MKL.

    In its strict mode the order is the same with any number of threads.
    Source: https://www.intel.com/content/www/us/en/docs/onemkl/developer-guide-linux/2024-2/instructions-for-setting-cnr.html
    """
    has_mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return variable("MKL_CBWR") or "AUTO,STRICT" if has_mkl else None


def automatic_threads(root: Path = Path("/")) -> int:
    """As many threads as torch chooses, but no more than the CPUs that this process may use the whole time.

    Where a container may use two of 64 CPUs, 64 threads wait for each other: a step takes many times as long.
    """
    return min(torch.get_num_threads(), usable_cpus(root))


def usable_cpus(root: Path = Path("/")) -> int:
    """How many CPUs this process may use the whole time."""
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min([cpus, *map(int, _cpu_quotas(root))]))


_CGROUPS = ("", "unified", "cpu", "cpu,cpuacct", "cpuacct,cpu")  # where they are mounted, below one folder


def _cpu_quotas(root: Path) -> Iterator[float]:
    """How many CPUs the control groups of this process allow, those that they lie in too.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html, and for version 1 …/scheduler/sched-bwc.html
    """
    groups = {Path()}  # in a container the group is often mounted as if it were the first
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            group = Path(path.strip("/"))
            groups |= {group, *group.parents}
    for folder in (root / "sys/fs/cgroup" / mount / group for mount in _CGROUPS for group in groups):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        for pair in ((quota, period), (_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))):
            with suppress(ValueError, ZeroDivisionError):  # "max", or no such file
                if (cpus := int(pair[0]) / int(pair[1])) > 0:  # -1: no limit
                    yield cpus


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16, which Apple's GPUs are assumed to have."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return True
    here = cpu_capabilities()  # a CPU with AVX2 alone took up to 12 times as long as in fp32
    return any(here.get(name, False) for name in _BF16_INSTRUCTIONS)


def resolve(name: str) -> torch.device:
    """Return the device with this name. Raises ``DeviceError`` if this machine has none."""
    here = available()
    device = torch.device(next(iter(here)) if name == "auto" else name)
    if str(device) not in here and f"{device}:0" not in here:
        raise DeviceError(f"There is no device {name} on this machine; choose one of auto, {', '.join(here)}.")
    return device


def layout(device: torch.device, precision: str) -> torch.memory_format:
    """Return the layout of convolutions: channels last is faster on CPUs and NVIDIA's GPUs."""
    fast = precision == "bf16" and device.type != "mps"  # in fp32, batch norm would then lose two of seven digits
    return torch.channels_last if fast else torch.contiguous_format


def make_reproducible(threads: int) -> None:
    """Make the same inputs give the same bits; call it before the first computation of a process."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = variable("CUBLAS_WORKSPACE_CONFIG") or ":4096:8"  # read when CUDA starts
    os.environ["MKL_CBWR"] = mkl_order() or ""  # read at MKL's first product
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms(True), without 0.8 s for its compiler
    # Fresh memory filled with NaN would expose reads before writes, at a cost in time on each batch.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # TF32 keeps 10 bits of each factor: a loss measured on another device would differ by more than rounding.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_num_threads(threads)


@contextmanager
def fast_matmul() -> Iterator[None]:
    """Multiply float32 matrices with oneDNN inside the block, except on Intel's CPUs and where that would round them.

    The default on x86, MKL, takes up to twice as long on AMD's CPUs and a tenth less on Intel's.
    """
    matmul = onednn_matmul()
    if matmul is None or _is_intel() or not _onednn_keeps_float32():
        yield
        return
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _is_intel() -> bool:
    capabilities = cpu_capabilities()
    return not capabilities or "Intel" in capabilities.get("cpu_name", "")


@cache
def _onednn_keeps_float32() -> bool:
    """Measure whether oneDNN multiplies in full precision here.

    torch passes float32 products to it only with permission to round them to bfloat16, which it does on CPUs with AMX.
    """
    matmul = onednn_matmul()
    before = matmul.fp32_precision
    one, other = torch.linspace(-1, 1, 256 * 512).view(256, 512), torch.linspace(-1, 2, 512 * 256).view(512, 256)
    try:
        matmul.fp32_precision = "bf16"
        products = [(one @ other, one, other), (other.t() @ one.t(), other.t(), one.t())]
    finally:
        matmul.fp32_precision = before
    return all(torch.allclose(found, (a.double() @ b.double()).float(), 1e-5, 1e-4) for found, a, b in products)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of the global generators that a model on this device draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore the global generators; the state of another kind of device is ignored."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
