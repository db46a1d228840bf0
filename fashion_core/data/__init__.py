"""Datasets: read, draw and download images as bytes, without torch; ``batches`` makes the tensors to train on.

``images.read`` gives both halves of a dataset. Fashion-MNIST comes from the official files (``fashion_mnist``), the
synthetic garments are drawn here (``synthetic``, ``drawing``), the same bytes on every machine. Others are brought in
by ``adding``, from any of ``sources``, with a ``report`` of what was found; ``description`` says what each dataset is,
and tells it from other images of the same name. ``image_files`` reads anyone's picture and ``pictures`` makes it fit.
"""
