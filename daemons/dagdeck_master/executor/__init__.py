"""The executor: from committed dispatches to workers.

Decides how work is announced. Does not decide what runs (`dagdeck_core.scheduling`) nor run it (workers).
"""
