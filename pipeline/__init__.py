"""Hypervigil: detection for the layer under every virtual machine."""

__version__ = "0.1.0"
