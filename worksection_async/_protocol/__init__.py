"""Requests and replies as values: how a call is checked and written, and how its reply is read; without I/O."""
