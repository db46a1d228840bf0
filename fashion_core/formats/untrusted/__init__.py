"""Files from anyone, read as data alone: nothing in a file is ever called, and torch is not needed.

Three stages, and each refusal is one plain sentence (``RefusedFileError``):

1. The container: ``zip_archive``, and the header in ``safetensors_reader``.
2. The unpickling: ``pickle`` builds the inert ``values``. ``read`` takes a path through both to a ``saved_file``.
3. The meaning: ``state_dict`` finds the weights, ``validate`` compares all of it with a model of ours.

``formats.load`` then puts the numbers into a model that this app built itself.
"""
