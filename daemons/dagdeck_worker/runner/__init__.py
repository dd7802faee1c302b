"""Inside a runner process: the loop that serves tasks, its pipe to the parent, and the clearing up between tasks.

Nothing here reaches a database, a queue or a setting: a runner holds no credentials. Entered by the keeper's
forked children and, where there is no fork, by `python -m dagdeck_worker.runner`.
"""
