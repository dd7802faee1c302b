"""Benchmarks of the desktop: how fluid its areas are, how soon it can be used, how soon a change is seen."""
