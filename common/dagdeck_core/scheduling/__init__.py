"""The scheduling machine: events in, decisions out, the same every time.

Decides what happens to dag runs and task instances. Does not store or send anything: the master's
committer does both. Called by the master's scheduler loop and by the simulation.
"""
