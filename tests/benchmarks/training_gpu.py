"""A whole epoch of the tutorial's network on the first GPU: ours beside the tutorial's loop there."""

from typing import Any

from fashion_core import devices
from fashion_core.data import fashion_mnist
from tests.benchmarks import Comparison, alternate
from tests.benchmarks.training import BATCH, TUTORIAL, our_epoch, place_to_train, tutorial_epoch

ROUNDS, IMAGES, DEVICE = 7, 60_000, "cuda:0"


def run() -> Comparison:
    """Raises ``DeviceError`` or ``DataError`` where there is no such GPU or no Fashion-MNIST."""
    fashion_mnist.check()
    with place_to_train(IMAGES) as (folder, which, store):
        devices.resolve(DEVICE)
        ways = {TUTORIAL: tutorial_epoch(folder, device=DEVICE)}
        for precision in ("fp32", "bf16"):
            settings: dict[str, Any] = {"device": DEVICE, "train_images": IMAGES, "precision": precision}
            ways[f"step by step, {precision}"] = our_epoch(store, folder, by_step=True, **settings)
            ways[f"ours, {precision}"] = our_epoch(store, folder, **settings)
        title = f"An epoch ({IMAGES:,} {which}) of the MLP, batch {BATCH}, on {devices.available()[DEVICE]}"
        return Comparison(title, TUTORIAL, alternate(ways, ROUNDS))
