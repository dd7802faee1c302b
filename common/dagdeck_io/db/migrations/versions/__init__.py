"""One file per schema revision, in Alembic's form.

Expand now, contract a release later, so that workers of the release before go on during an upgrade. A revision may be
interrupted after any of its statements and is then run again from the first: changes of the schema that were made are
left out by themselves (`resuming`), changes of rows must be written so that a second time changes nothing.
"""
