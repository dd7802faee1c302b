"""The pure heart of DagDeck: no I/O, no clock, no randomness, no threads.

Decides everything that can be decided from values alone: states, dag specs, schedules, what runs
next and why not yet. Every other package calls it; it calls none of them.
"""
