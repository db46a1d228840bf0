"""Use a model: images in, probabilities and scores out.

``engine`` computes with torch, in the ``worker`` process; the server asks that process through ``client`` and never
imports torch. ``segmentation`` and ``prepare`` turn anyone's image, which ``data.image_files`` has read, into one like
the training set's, and ``scores`` judges predictions on labelled images.
"""
