"""Benchmarks of whole clusters: `python -m tests.benchmarks`, or `./dev bench`."""
