"""The HTML report: one self-contained file that answers what happened, to which machine, by whom, how sure, and what now."""

from .html import render

__all__ = ["render"]
