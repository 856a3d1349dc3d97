"""Benchmarks: a seeded generator of log files, a hand-written baseline, and what the kernel and the whole run take."""
