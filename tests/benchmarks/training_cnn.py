"""A sixteenth of an epoch of the small CNN: ours beside the plain loop."""

from pathlib import Path
from tempfile import TemporaryDirectory

from fashion_core import devices
from fashion_core.runs import RunStore

from . import Comparison, alternate
from .training import BATCH, THREADS, TUTORIAL, images_in_idx_files, our_epoch, tutorial_epoch

ROUNDS, IMAGES = 7, 3_840


def run() -> Comparison:
    """With as many threads as torch chooses, the same for all."""
    devices.make_reproducible(THREADS)
    with (
        images_in_idx_files(IMAGES) as (folder, which),
        TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as runs,
    ):
        store = RunStore(Path(runs))
        ways = {
            TUTORIAL: tutorial_epoch(folder, "cnn"),
            "ours, fp32": our_epoch(store, folder, model="cnn", train_images=IMAGES),
            "ours, bf16": our_epoch(store, folder, model="cnn", train_images=IMAGES, precision="bf16"),
        }
        title = f"{IMAGES:,} {which} through the small CNN, batch {BATCH}, {THREADS} threads"
        return Comparison(title, TUTORIAL, alternate(ways, ROUNDS))
