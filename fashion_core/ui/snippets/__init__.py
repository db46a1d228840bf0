"""Plain PyTorch to copy, made from the templates beside this."""
