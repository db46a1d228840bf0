"""The networks that can be trained here. Importing this package imports torch."""

from fashion_core.models.networks import NeuralNetwork, SmallCNN, build_model

__all__ = ["NeuralNetwork", "SmallCNN", "build_model"]

for _network in (NeuralNetwork, SmallCNN):
    _network.__module__ = __name__  # the name that a pickled model holds, in every model.pth there is
