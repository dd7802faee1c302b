"""Partitions: which of a consumer's partitions an asset event belongs to, and when one is complete.

Decides keys, windows and wait policies. Does not create runs (`dagdeck_core.scheduling` does). Used by the scheduling
core, the API and the authoring package.
"""
