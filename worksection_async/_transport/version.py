"""The version of this package; a module of its own because the transport sends it and must not import the root."""

__version__ = "0.1.0"
