"""The `dagdeckd` command: reads settings, composes the daemons and supervises them.

The supervising process imports neither the database layer nor user code: everything heavy runs in children.
"""
