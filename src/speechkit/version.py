"""The version of speechkit."""

__version__ = "0.1.0"
