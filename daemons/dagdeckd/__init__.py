"""The `dagdeckd` command: reads settings, composes the daemons and supervises them.

The supervising process runs neither user code nor any daemon's work: all of that happens in its children.
"""
