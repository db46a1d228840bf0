"""Runs that leave in one file, and runs that come in one."""
