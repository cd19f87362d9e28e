"""Whole accounts: records beyond one answer, and events and tags as they change."""
