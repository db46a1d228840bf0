"""What several processes say to each other, and the layers that see the whole of a batch: three real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fashion_core.runs.store import RunStore
from fashion_core.training.group import ALONE, Group
from tests.support.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def run_three(tmp_path: Path, code: str) -> list[str]:
    """Run the code in each of three processes, with their ``group``; return the lines that they printed, sorted."""
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\nfrom torch import nn\nfrom fashion_core.training import group as groups, torchrun\n"
        "torch.set_num_threads(1)\ntorch.use_deterministic_algorithms(True)\n"
        f"with groups.joined(cuda=False) as group:\n{code}\ntorchrun.leave(0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=3", "--rdzv-backend=c10d"]
    place = ["--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    command = [sys.executable, *torchrun, *place, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    return sorted(done.stdout.splitlines())


@pytest.mark.parametrize("images", [1, 2, 7, 64])
def test_the_shares_of_a_batch_cover_it_in_order_and_differ_by_one_at_most(images: int) -> None:
    shares = [Group(rank, 3).share(images) for rank in range(3)]
    assert [image for share in shares for image in range(images)[share]] == list(range(images))
    sizes = [share.stop - share.start for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_one_process_alone_has_all_of_a_batch_and_asks_nobody() -> None:
    assert ALONE.share(7) == slice(0, 7)
    assert (ALONE.any(True), ALONE.any(False), ALONE.of_leader("value")) == (True, False, "value")
    assert torch.equal(ALONE.gather(torch.ones(2)), torch.ones(2))


LAYERS = """
    from fashion_core.training.shared_layers import share_layers
    def model():
        torch.manual_seed(0)
        layers = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm2d(4)
        return nn.Sequential(*layers)
    for images in (2, 7):  # of two images, one process has none
        torch.manual_seed(images)
        inputs = torch.rand(images, 1, 6, 6)
        whole, shared = model(), model()
        share_layers(shared, group, lambda: images)
        share = group.share(images)
        torch.manual_seed(1)
        expected = whole(inputs)
        torch.manual_seed(1)
        found = shared(inputs[share])
        torch.testing.assert_close(found, expected[share])
        (expected ** 3).sum().backward()
        (found ** 3).sum().backward()
        for parameter, other in zip(whole.parameters(), shared.parameters()):
            torch.testing.assert_close(group.sum(other.grad), parameter.grad, rtol=1e-4, atol=1e-3)
        for name, buffer in whole.state_dict().items():
            torch.testing.assert_close(shared.state_dict()[name], buffer, rtol=1e-6, atol=1e-7)
    print("ok\\n", end="", flush=True)
"""


def test_batch_norm_and_dropout_on_the_parts_of_a_batch_are_those_on_the_whole(tmp_path: Path) -> None:
    assert run_three(tmp_path, LAYERS) == ["ok"] * 3


AGREEING = """
    assert group.any(group.rank == 2)
    assert not group.any(False)
    assert group.of_leader(f"from {group.rank}") == "from 0"
    assert group.gather(torch.full((group.rank,), 1.0 + group.rank)).tolist() == [2.0, 3.0, 3.0]
    assert group.sum(torch.tensor(group.rank)) == 3
    print("ok\\n", end="", flush=True)
"""


def test_processes_agree(tmp_path: Path) -> None:
    assert run_three(tmp_path, AGREEING) == ["ok"] * 3


ENDING = """
    from fashion_core.errors import DataError, WorkerError
    try:
        with group.failures_explained():
            if group.rank == 1:
                raise DataError("The dataset is gone: copy it again.")
            group.sum(torch.ones(1))
    except DataError as error:
        group.end_others(str(error))
    except WorkerError as error:
        print(f"{group.rank}: {error}\\n", end="", flush=True)
"""


def test_what_ends_one_process_ends_all_with_its_sentence(tmp_path: Path) -> None:
    assert run_three(tmp_path, ENDING) == [f"{rank}: The dataset is gone: copy it again." for rank in (0, 2)]


DYING = """
    import os
    from fashion_core.training.torchrun import ProcessLostError
    if group.rank == 1:
        os._exit(0)
    try:
        with group.failures_explained():
            group.sum(torch.ones(1))
    except ProcessLostError as error:
        print(f"{group.rank}: lost\\n", end="", flush=True)
"""


def test_a_process_that_died_without_a_word_is_told_from_one_that_ended(tmp_path: Path) -> None:
    assert run_three(tmp_path, DYING) == ["0: lost", "2: lost"]


STOPPING = """
    from contextlib import nullcontext
    from fashion_core.runs.store import RunStore
    from fashion_core.training.trainer import Trainer
    from tests.support.runs import After, never, new_run
    groups.MEETING_SECONDS = 0  # they meet after each batch
    store = RunStore()
    settings = {"epochs": 2, "batch_size": 61, "train_images": 700, "processes": 3, "optimizer": "adam"}
    def weights(*stops):
        run = store.get(group.of_leader(group.leads and new_run(store, **settings).id))
        for should_stop in (*stops, never):
            with run.writing() if group.leads else nullcontext():
                print(Trainer(run, should_stop, group=group).train() + "\\n", end="", flush=True)
        return group.leads and torch.load(run.weights_path, weights_only=True)
    straight, stopped = weights(), weights(After(8))
    if group.leads:
        assert all(torch.equal(stopped[name], tensor) for name, tensor in straight.items())
"""


def test_three_processes_stopped_inside_an_epoch_end_in_the_same_bits(store: RunStore, tmp_path: Path) -> None:
    """Of three numbers the sum depends on their order, of two it does not."""
    assert run_three(tmp_path, STOPPING) == ["finished"] * 6 + ["stopped"] * 3
