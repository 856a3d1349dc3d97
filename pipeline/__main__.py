"""`python -m pipeline` is the `hypervigil` command."""

from .cli import main

main()
