"""What the ten kinds of garment are called, in the order of their labels."""

from typing import Final

CLASS_NAMES: Final = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
