"""One file per schema revision, in Alembic's form.

Expand now, contract a release later, so that workers of the release before go on during an upgrade.
"""
