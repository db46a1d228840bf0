"""Train, save, load, resume and use a PyTorch model, and see what each of those does."""

__version__ = "0.1.0"
