"""Runs bundled into one file, and imported from one."""
