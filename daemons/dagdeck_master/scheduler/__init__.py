"""The scheduler process: one leader that turns facts into committed decisions.

Decides when rows are read and steps are taken. What is scheduled is decided in `dagdeck_core.scheduling`.
"""
