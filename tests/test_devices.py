"""What this machine has, which of it to use, and the same bits each time."""

import os
import platform
import sys
from pathlib import Path

import pytest
import torch

from fashion_core import devices
from fashion_core.errors import DeviceError
from tests.support.processes import python


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a CPU's instructions so")
def test_processor_is_told_with_the_instructions_that_change_its_rounding() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    told = devices.available()["cpu"]
    assert ("AVX512" in told, "BF16" in told, "AMX" in told) == tuple(
        name in flags for name in ("avx512f", "avx512_bf16", "amx_bf16")
    )


@pytest.mark.parametrize(
    ("name", "told"), [("Ryzen™ 9", "Ryzen 9"), ("", platform.machine()), ("Unknown", platform.machine())]
)
def test_processor_is_told_in_plain_words(monkeypatch: pytest.MonkeyPatch, name: str, told: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": name, "amx_bf16": True})
    assert devices.available()["cpu"] == f"{told} ({torch.backends.cpu.get_cpu_capability()}, AMX)"


@pytest.mark.parametrize("name", ["cuda:9", "cuda", "mps"])
def test_missing_device_is_one_sentence_that_names_what_is_there(name: str) -> None:
    if name in devices.available() or f"{name}:0" in devices.available():
        pytest.skip(f"this machine has {name}")
    with pytest.raises(DeviceError, match=f"There is no device {name} on this machine; choose one of auto, .*cpu"):
        devices.resolve(name)


def test_random_state_comes_back() -> None:
    device = torch.device("cpu")
    state = devices.random_state(device)
    drawn = torch.rand(3)
    devices.set_random_state(state, device)
    assert torch.equal(torch.rand(3), drawn)


@pytest.mark.slow
def test_reproducible_process_uses_the_threads_it_is_told_and_deterministic_algorithms() -> None:
    done = python(
        "import os, torch\nfrom fashion_core.devices import make_reproducible\nmake_reproducible(3)\n"
        "print(torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(),"
        " torch.backends.cudnn.benchmark, os.environ['CUBLAS_WORKSPACE_CONFIG'], os.environ['MKL_CBWR'])",
        MKL_CBWR="",
    )
    assert done.stdout.split() == ["3", "True", "False", ":4096:8", "AUTO,STRICT"], done.stderr


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16", None])
def test_cpu_has_bf16_where_it_names_some(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": False, name: True})
    assert devices.has_bf16(torch.device("cpu")) == (name is not None)


def test_products_keep_float32() -> None:
    one, other = torch.linspace(-1, 1, 64 * 512).view(64, 512), torch.linspace(-1, 2, 512 * 64).view(512, 64)
    with devices.fast_matmul():
        torch.testing.assert_close(one @ other, (one.double() @ other.double()).float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("cpu", "keeps_float32", "through_onednn"),
    [("Intel Xeon", True, False), ("AMD EPYC", True, True), ("AMD EPYC", False, False), ("", True, True)],
)
def test_products_go_through_onednn_off_intel_where_it_keeps_float32(
    monkeypatch: pytest.MonkeyPatch, cpu: str, keeps_float32: bool, through_onednn: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": cpu})
    monkeypatch.setattr(devices, "_onednn_keeps_float32", lambda: keeps_float32)
    before = product_precision()
    with devices.fast_matmul():
        assert product_precision() == ("bf16" if through_onednn else before)


def test_products_are_as_before_once_an_epoch_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "AMD EPYC"})
    monkeypatch.setattr(devices, "_onednn_keeps_float32", lambda: True)
    before = product_precision()
    with pytest.raises(KeyboardInterrupt), devices.fast_matmul():
        raise KeyboardInterrupt
    assert product_precision() == before != "bf16"


def product_precision() -> str:
    precision: str = torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]
    return precision


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="not Linux")
def test_torch_names_an_intel_cpu_so() -> None:
    assert devices._is_intel() == ("GenuineIntel" in Path("/proc/cpuinfo").read_text())


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpu_has_bf16_since_ampere(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert devices.has_bf16(torch.device("cuda:0")) == has


def test_description_is_what_the_machine_has_with_the_automatic_choice_first_and_the_cpu_last() -> None:
    here = devices.available()
    assert list(here)[-1] == "cpu"
    assert devices.describe() == {
        "automatic": str(devices.resolve("auto")),
        "devices": here,
        "bf16": [name for name in here if devices.has_bf16(torch.device(name))],
        "threads": devices.automatic_threads(),
        "cpus": devices.usable_cpus(),
        "mkl": "AUTO,STRICT" if torch.backends.mkl.is_available() else None,  # type: ignore[no-untyped-call]
    }
    assert str(devices.resolve("auto")) == next(iter(here))


def group_files(root: Path, groups: str, **quotas: str) -> None:
    """What a machine with these control groups shows; ``quotas`` are the texts of files by their paths."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in quotas.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V2, V1 = "0::/app/worker\n", "5:memory:/other\n3:cpu,cpuacct:/docker/1\n1:name=systemd:/\n"
V1_QUOTA, V1_PERIOD = "cpu,cpuacct/docker/{}cpu.cfs_quota_us", "cpu,cpuacct/docker/{}cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("groups", "quotas", "threads"),
    [
        (V2, {"app/worker/cpu.max": "50000 100000\n"}, 1),
        (V2, {"app/worker/cpu.max": "100000 100000\n"}, 1),
        (V2, {"app/worker/cpu.max": "199999 100000\n"}, 1),
        (V2, {"app/worker/cpu.max": "200000 100000\n"}, 2),
        (V2, {"app/worker/cpu.max": "max 100000\n"}, 3),
        (V2, {"app/worker/cpu.max": "800000 100000\n"}, 3),
        (V2, {"app/worker/cpu.max": "max 100000\n", "app/cpu.max": "200000 100000\n"}, 2),
        (V2, {"app/worker/cpu.max": "200000 100000\n", "app/cpu.max": "100000 100000\n"}, 1),
        (V2, {"cpu.max": "200000 100000\n"}, 2),  # a container's own group, mounted as if it were the first
        (V2, {"elsewhere/cpu.max": "100000 100000\n"}, 3),
        (V2, {"app/worker/cpu.max": "nonsense\n"}, 3),
        (V2, {}, 3),
        ("", {"cpu.max": "100000 100000\n"}, 1),
        (V1, {V1_QUOTA.format("1/"): "150000\n", V1_PERIOD.format("1/"): "100000\n"}, 1),
        (V1, {V1_QUOTA.format("1/"): "-1\n", V1_PERIOD.format("1/"): "100000\n"}, 3),
        (V1, {V1_QUOTA.format(""): "20000\n", V1_PERIOD.format(""): "10000\n"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "10000\n", "cpu/cpu.cfs_period_us": "10000\n"}, 1),
        (V1, {"memory/other/cpu.max": "100000 100000\n"}, 3),
    ],
)
def test_threads_are_at_most_the_quota_of_the_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, quotas: dict[str, str], threads: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    if sys.platform == "linux":
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    group_files(tmp_path, groups, **quotas)
    assert devices.automatic_threads(tmp_path) == threads


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which CPUs a process may use")
def test_threads_are_at_most_the_cpus_that_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})
    assert devices.automatic_threads(tmp_path) == 1
