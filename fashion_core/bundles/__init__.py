"""Runs in one file: written from a store, read as a stranger's file, and kept in another store.

A bundle is a zip archive of stored members: the files of whole run folders, parents before those resumed from them,
and last ``manifest.json`` with the SHA-256 of each. ``write`` makes one; ``read`` and ``check`` trust none;
``unbundle`` keeps all of its runs or none.
"""
