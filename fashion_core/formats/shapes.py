"""The images and classes that saved weights are made for, by the sizes of their tensors alone; without torch.

Several shapes may have a model of the same sizes, such as an MLP's: all of them are the same model, and the squarest
image stands for all. What a model of ours can't be made for is never found, so that no file makes a model grow.
"""

from collections.abc import Callable, Mapping
from math import isqrt

from fashion_core.config import FASHION, SIDE, Shape
from fashion_core.data.description import LEAST_SIDE, MOST_CLASSES, MOST_SIDE, Description
from fashion_core.errors import ModelError, counted
from fashion_core.formats.untrusted.blueprints import COUNTER, OWN, KnownModel, Pattern, sizes_of
from fashion_core.models.layers import Sizes

Image = tuple[int, int, int]  # channels, height, width

_CHANNELS = (1, 3)
_POOLED = 4  # how many pixels of a side the small CNN's two poolings make one of


def matches(sizes: Sizes, pattern: Pattern) -> bool:
    """Whether a tensor has these sizes for some shape."""
    return len(sizes) == len(pattern) and all(ours in (None, size) for size, ours in zip(sizes, pattern, strict=True))


def shape_of(model: KnownModel, sizes: Mapping[str, Sizes]) -> Shape | None:
    """The shape that a model of these sizes is made for, or None where it is made for none.

    How many batches a batch norm has seen may be missing, as in torch.
    """
    known = model.sizes.items()
    if not all(matches(sizes[name], one) if name in sizes else name.endswith(COUNTER) for name, one in known):
        return None
    shape = nearest_shape(model, sizes)
    ours = sizes_of(model.name, shape)
    return shape if all(ours[name] == one for name, one in sizes.items()) else None


def nearest_shape(model: KnownModel, sizes: Mapping[str, Sizes]) -> Shape:
    """As many classes, and images, as these sizes tell; where they tell none that is possible, Fashion-MNIST's."""
    if model.shape:
        return model.shape
    return Shape(*(_IMAGES[model.name](sizes) or FASHION[:3]), _classes(model.name, sizes) or FASHION.classes)


def misfit(model: str, shape: Shape, dataset: Description) -> str | None:
    """Why a model that is made for ``shape`` can't take the images of a dataset or name its classes, as a clause."""
    theirs, label = dataset.shape, dataset.label
    try:
        ours, needed = sizes_of(model, shape), sizes_of(model, theirs)
    except ModelError as error:
        return str(error).rstrip(".")
    if ours == needed:
        return None
    if shape.classes != theirs.classes:
        return f"the model has {shape.classes:,} outputs, {label} has {theirs.classes:,} classes"
    if model != "mlp" and shape.channels != theirs.channels:
        takes = counted(shape.channels, "{count} channel", "{count} channels")
        return f"the model takes images of {takes}, those of {label} have {theirs.channels}"
    name = next(name for name, size in ours.items() if size != needed.get(name))
    image = f"{theirs.channels} × {theirs.height} × {theirs.width}"
    if model not in OWN:
        return f"{name} of the model is {ours[name]}, and images of {label} ({image}) need {needed.get(name)}"
    return (
        f"{name} of the model takes {ours[name][1]:,} numbers, and images of {label} ({image}) make {needed[name][1]:,}"
    )


def _classes(model: str, sizes: Mapping[str, Sizes]) -> int | None:
    *_, last = OWN[model].sizes
    found = sizes.get(last, ())
    return found[0] if len(found) == 1 and 2 <= found[0] <= MOST_CLASSES else None


def _size(model: str, sizes: Mapping[str, Sizes], name: str) -> int:
    """What a weight takes: numbers or channels; 0 where that is not a weight of this model."""
    found = sizes.get(name, ())
    return found[1] if matches(found, OWN[model].sizes[name]) else 0


def _mlp_image(sizes: Mapping[str, Sizes]) -> Image | None:
    inputs = _size("mlp", sizes, "linear_relu_stack.0.weight")
    able = [(channels, *_sides(inputs // channels, LEAST_SIDE, MOST_SIDE)) for channels in _CHANNELS]
    whole = [image for image in able if inputs and image[0] * image[1] * image[2] == inputs]
    return min(whole, key=lambda image: image[2] - image[1], default=None)


def _cnn_image(sizes: Mapping[str, Sizes]) -> Image | None:
    channels = _size("cnn", sizes, "features.0.weight")
    pooled, rest = divmod(_size("cnn", sizes, "classifier.2.weight"), 64)
    height, width = _sides(pooled, LEAST_SIDE // _POOLED, MOST_SIDE // _POOLED)
    return None if rest or not height or channels not in _CHANNELS else (channels, height * _POOLED, width * _POOLED)


def _resnet_image(sizes: Mapping[str, Sizes]) -> Image | None:
    channels = _size("resnet18", sizes, "conv1.weight")
    return (channels, SIDE, SIDE) if channels in _CHANNELS else None


_IMAGES: Mapping[str, Callable[[Mapping[str, Sizes]], Image | None]] = {
    "mlp": _mlp_image, "cnn": _cnn_image, "resnet18": _resnet_image,
}  # fmt: skip


def _sides(area: int, least: int, most: int) -> tuple[int, int]:
    """The squarest image of so many pixels, its longer side across; zeros where none is within the limits."""
    for height in range(min(isqrt(area), most), least - 1, -1):
        if area % height == 0 and area // height <= most:
            return height, area // height
    return 0, 0
