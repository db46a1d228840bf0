"""Bringing a dataset in on the Train page."""
