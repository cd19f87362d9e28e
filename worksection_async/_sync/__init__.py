"""Streams beyond the limit of records per reply, and polling for events and changes of tags."""
