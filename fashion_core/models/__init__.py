"""The networks that can be trained here: this app's own, and a team's.

torch is imported with the first of these names that is asked for: what only reads about models goes without.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fashion_core.models.networks import NeuralNetwork, SmallCNN, build_model

__all__ = ["NeuralNetwork", "SmallCNN", "build_model"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from fashion_core.models import networks

    return getattr(networks, name)
