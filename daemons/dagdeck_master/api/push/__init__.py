"""Live push: one event stream per client, fed by one reader for all of them.

`protocol` has the shape of what is sent (docs/push.md), `sources` finds out what may have changed, `reader` reads and
compares it (a thread), `topic*` know what each topic shows, `streams` hands it to clients (the event loop), and `route`
is the operation. Composed by `dagdeck_master.api.app`.
"""
