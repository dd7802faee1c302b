"""Runs one task from its bundle: context, templates, XCom, outcome; and whole DAGs in one process.

Decides how a task is executed and how its end is told. Does not decide what happens next (the scheduler
does) nor hold any credential: it asks its parent through a `Channel`. Used by runners and `dag.test()`.
"""
