"""The session: it holds the parts together and makes each call."""
