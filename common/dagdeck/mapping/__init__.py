"""Dynamic task mapping: tasks and groups that become several instances when their run is under way.

Decides how an expansion is written and resolved. When and into how many instances it happens is the scheduler's
business (`dagdeck_core.scheduling.expansion`). Used in DAG files through `.partial`, `.expand` and `.expand_kwargs`.
"""
