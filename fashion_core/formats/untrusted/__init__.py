"""Files from anyone, read as data alone: nothing in a file is ever called, and torch is not needed.

Three stages, and each refusal is one plain sentence (``RefusedFileError``):

1. The container: ``zip_archive``, and the header in ``safetensors_reader``; ``file_kinds`` names any other file.
2. The unpickling: ``pickle`` and ``rebuild`` make the inert ``values``. ``read`` goes through both to a ``saved_file``.
3. The meaning: ``state_dict`` finds the weights wherever they are, ``validate`` compares all that is used with a model
   of ours (``blueprints``). ``optimizer`` says whether its state can be used too; it never decides about the weights.

``formats.load`` then puts the numbers into a model that this app built itself.
"""
