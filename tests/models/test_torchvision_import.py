"""torchvision beside any build of torch."""

import subprocess
from pathlib import Path

import pytest
import torch

from tests.support.processes import ROOT, python


@pytest.fixture(scope="module")
def alone() -> subprocess.CompletedProcess[str]:
    return python("import torchvision")


@pytest.mark.slow
def test_help_is_needed_by_a_cpu_build_only_and_for_exactly_this_error(alone: subprocess.CompletedProcess[str]) -> None:
    if alone.returncode:
        assert torch.version.cuda is None
        assert "operator torchvision::nms does not exist" in alone.stderr


@pytest.mark.slow
def test_datasets_transforms_and_models_work_and_nothing_is_declared_in_vain(
    alone: subprocess.CompletedProcess[str],
) -> None:
    """In a fresh process, where nobody has imported torchvision before."""
    done = python(
        "from fashion_core.models import torchvision_import\n"
        "torchvision = torchvision_import.import_torchvision()\n"
        "assert torchvision_import.import_torchvision() is torchvision\n"
        "import torch, torchvision.datasets, torchvision.transforms.v2\n"
        "torchvision.models.resnet18(num_classes=10).eval()(torch.zeros(1, 3, 32, 32))\n"
        "torchvision.transforms.ToTensor()(torch.zeros(28, 28, 1, dtype=torch.uint8).numpy())\n"
        "print(torchvision.datasets.FashionMNIST.__name__, len(torchvision_import._declared))"
    )
    assert done.stdout.split() == ["FashionMNIST", "1" if alone.returncode else "0"], done.stderr


def test_any_other_error_is_seen(tmp_path: Path) -> None:
    """A torchvision first on the path that fails in another way, and only the first time."""
    (tmp_path / "torchvision.py").write_text(
        "import sys\nif not hasattr(sys, 'tried'):\n    sys.tried = True\n    raise RuntimeError('something else')"
    )
    done = python(
        "from fashion_core.models.torchvision_import import import_torchvision\nimport_torchvision()",
        cwd=tmp_path,
        PYTHONPATH=f"{tmp_path}:{ROOT}",
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("RuntimeError: something else")
