"""Saved files on pages: what is in one, what it can be turned into, imports, and what can be deleted."""
