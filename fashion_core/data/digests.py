"""Which images a dataset's name stands for: losses are comparable only where the name and the digest are the same."""

from typing import Final

from fashion_core.config import DATASET_LABELS

# The SHA-256 of all arrays: training and test pixels, training and test labels.
DIGESTS: Final = {
    "synthetic": "9a2570493187c6c592c08a1e689135f432a5a67b11470681bdf25f5c1a7e7152",
    "fashion-mnist": "2cbc59191665e1ba3f2494648f17edac5974f748ab89fb2ae05597d658161f54",
}
# Of runs that record none; whatever images a name comes to stand for, it never changes.
UNRECORDED: Final = {
    "synthetic": "9a2570493187c6c592c08a1e689135f432a5a67b11470681bdf25f5c1a7e7152",
    "fashion-mnist": "2cbc59191665e1ba3f2494648f17edac5974f748ab89fb2ae05597d658161f54",
}
_DIGITS: Final = 8  # of a digest, enough to tell a handful of them apart


def images_of(dataset: str, sha256: str | None) -> str:
    """The dataset's name while it stands for the images here, else with the digest's first digits."""
    found = sha256 or UNRECORDED[dataset]
    return dataset if found == DIGESTS[dataset] else f"{dataset}-{found[:_DIGITS]}"


def images_label(images: str) -> str:
    """What ``images_of`` gives, as people read it; other words as they are."""
    name, _, digits = images.rpartition("-")
    if images not in DATASET_LABELS and name in DATASET_LABELS:
        return f"{DATASET_LABELS[name]} (images {digits})"
    return DATASET_LABELS.get(images, images)
