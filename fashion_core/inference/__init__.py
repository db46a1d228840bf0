"""Use a model: images in, probabilities and scores out.

``engine`` computes with torch, in the ``worker`` process; the server asks that process through ``client`` and never
imports torch. ``image_files``, ``segmentation`` and ``prepare`` turn anyone's image into one like the training set's,
and ``scores`` judges predictions on labelled images.
"""
