"""Add a dataset of anyone's images, and remove it: what comes in, how it is decoded, and what is told about it.

``add`` does it all; ``prepared`` reports the same, lets whoever previews look at the images, and keeps nothing
unless told to. The work goes from ``data.sources`` through ``survey`` (its size and colours), ``decode``
and ``arrays`` to ``place``, where it gets its name.
"""

from fashion_core.data.adding.add import Prepared, add, prepared
from fashion_core.data.adding.place import remove
from fashion_core.data.request import AddRequest

__all__ = ["AddRequest", "Prepared", "add", "prepared", "remove"]
