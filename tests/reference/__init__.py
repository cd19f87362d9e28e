"""Writes the reference pages and the pictures of the documentation: ``python -m tests.reference [--check]``."""
