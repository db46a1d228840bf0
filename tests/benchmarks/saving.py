"""What it costs to save a checkpoint so that neither a crash nor a power cut can damage it."""

from itertools import count

import torch

from fashion_core.config import parse_config
from fashion_core.formats import save
from fashion_core.loops import make_optimizer
from fashion_core.models import build_model
from fashion_core.runs.run import Run
from tests.benchmarks import Comparison, alternate, disk_folder
from tests.benchmarks.stores import info_of

ROUNDS = 21


def mlp_checkpoint() -> save.Checkpoint:
    """The tutorial's four keys for its model and Adam after a step: 8 MB."""
    model = build_model("mlp", seed=0)
    optimizer = make_optimizer(parse_config({"optimizer": "adam"}), model)
    model(torch.ones(1, 1, 28, 28)).sum().backward()
    optimizer.step()
    state = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    return {"epoch": 0, **state, "loss": 0.5}


def run() -> Comparison:
    """On the disk of the working folder, under a fresh name each time, as training saves."""
    content, epochs = mlp_checkpoint(), count()
    with disk_folder() as folder:
        run = Run(folder)
        run.checkpoint_folder.mkdir()

        def save_and_list() -> None:
            path = run.checkpoint_path(next(epochs))
            run.write_info(path, info_of(digest=save.save(path, content)))

        def remove() -> None:  # else each save waits for memory that the files before it still fill
            for path in run.checkpoint_folder.iterdir():
                path.unlink()

        ways = {
            "torch.save": lambda: torch.save(content, run.checkpoint_path(next(epochs))),
            "formats.save": lambda: save.save(run.checkpoint_path(next(epochs)), content),
            "formats.save, then its facts": save_and_list,
        }
        times = alternate(ways, ROUNDS, between=remove)
    return Comparison("Save the MLP's checkpoint with Adam's state, 8 MB", "torch.save", times)
