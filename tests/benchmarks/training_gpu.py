"""A whole epoch of the tutorial's network on the first GPU: ours beside the tutorial's loop there."""

from torch import nn

from fashion_core import devices
from fashion_core.loops import TrainStep
from fashion_core.training import Training

from . import Comparison, alternate
from .training import BATCH, TUTORIAL, epoch_of, our_training, place_to_train, tutorial_epoch

ROUNDS, IMAGES, DEVICE = 7, 60_000, "cuda:0"


def run() -> Comparison:
    """Raises ``DeviceError`` where there is no such GPU."""
    name = devices.available().get(str(devices.resolve(DEVICE)))
    with place_to_train(IMAGES) as (folder, which, store):
        ours = {
            f"{way}, {precision}": our_training(store, folder, device=DEVICE, train_images=0, precision=precision)
            for way in ("steps without a graph", "ours")
            for precision in ("fp32", "bf16")
        }
        for way, training in ours.items():
            if not way.startswith("ours"):
                without_graph(training)
        ways = {TUTORIAL: tutorial_epoch(folder, device=DEVICE)}
        title = f"An epoch ({IMAGES:,} {which}) of the MLP, batch {BATCH}, on {name}"
        return Comparison(title, TUTORIAL, alternate(ways | {way: epoch_of(ours[way]) for way in ours}, ROUNDS))


def without_graph(training: Training) -> None:
    training.train_step = TrainStep(training.model, nn.CrossEntropyLoss(), training.optimizer, training._autocast())
