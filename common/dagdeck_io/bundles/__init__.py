"""Bundles: a DAG folder as immutable, content-addressed snapshots.

`scan` takes them, `ignore` says what stays out, `manifest` names them, `unpack` puts them into a
folder again. Does not store them: `dagdeck_io.db` does. Called by the DAG processor and by workers.
"""
