"""What stands around the pages: ``start`` is run once, and every request passes ``guard``, which asks ``uploads``."""
