"""A sixteenth of an epoch of the small CNN: ours beside the plain loop."""

from tests.benchmarks import Comparison, alternate
from tests.benchmarks.training import BATCH, THREADS, TUTORIAL, our_epoch, place_to_train, tutorial_epoch

ROUNDS, IMAGES = 7, 3_840


def run() -> Comparison:
    with place_to_train(IMAGES) as (folder, which, store):
        ways = {
            TUTORIAL: tutorial_epoch(folder, "cnn"),
            "ours, fp32": our_epoch(store, folder, model="cnn", train_images=IMAGES),
            "ours, bf16": our_epoch(store, folder, model="cnn", train_images=IMAGES, precision="bf16"),
        }
        title = f"{IMAGES:,} {which} through the small CNN, batch {BATCH}, {THREADS} threads"
        return Comparison(title, TUTORIAL, alternate(ways, ROUNDS))
