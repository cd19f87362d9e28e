"""`Session`, its options, the shared connection, coalesced reads, and the caller that runs each call."""
