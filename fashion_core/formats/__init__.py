"""The save formats: weights, whole model and checkpoint as in the tutorial, safetensors, and ``torch.export``'s .pt2.

``save`` writes what training keeps, ``load`` gives a model of ours for any file, ``inspect`` and ``weight_change``
describe files without torch, ``export`` writes any checkpoint in any format, ``import_file`` makes a run of a file.
"""
