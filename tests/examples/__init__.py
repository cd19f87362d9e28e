"""The programs in docs/examples, started by the commands of their pages."""
