"""What the sample pipeline computes, apart from how its tasks are wired.

Decides how observations become storms, seasons and a report. Does not know DAGs or tasks: atlantic_hurricanes.py,
its only caller, does.
"""
