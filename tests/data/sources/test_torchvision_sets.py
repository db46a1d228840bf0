"""torchvision's sets: read through its own classes, from files as it leaves them; without a network, one sentence."""

import re
from pathlib import Path

from fashion_core.data.sources import torchvision_sets
from tests.support.processes import command_line, python
from tests.support.sources import idx_folder, labels, noise

NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}


def test_set_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    idx_folder(tmp_path / "MNIST" / "raw")
    source = torchvision_sets.fetch("mnist", tmp_path)
    items = list(source.items())
    assert source.classes == ("0 - zero", "1 - one", "2 - two", "3 - three", "4 - four")
    assert [item.half for item in items] == ["train"] * 20 + ["test"] * 10
    assert [item.label for item in items[:20]] == labels(20, 5).tolist()
    assert (items[3].picture == noise(20, 20)[3]).all()


def test_without_a_network_it_is_one_sentence_and_nothing_is_left(tmp_path: Path) -> None:
    """In a process of its own: urllib looks for proxies once."""
    done = command_line("data", "add", "cifar10", "--name", "mine", FASHION_DATA=str(tmp_path / "data"), **NO_NETWORK)
    said = r"fashion_core: cifar10 could not be fetched \(.*\): connect to the network and try .*\n"
    assert done.returncode == 1
    assert re.fullmatch(said, done.stderr), done.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".datasets.lock"]


def test_no_other_source_loads_torch() -> None:
    code = "import sys, fashion_core.data.adding; assert not {'torch', 'torchvision', 'pyarrow'} & set(sys.modules)"
    assert python(code).returncode == 0
