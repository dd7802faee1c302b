"""The API's operations, by subject.

Decides paths, parameters and statuses; each names its operation_id, which is its key in `permissions.RULES`. Does
not hold SQL (`queries`) nor effects (the scheduler's).
"""
