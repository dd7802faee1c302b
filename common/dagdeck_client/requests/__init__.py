"""Requests to the control API as plain values: what to send, and how to read the answer.

Decides methods, paths, queries and bodies, in Airflow's names. Does no I/O: a transport sends a `Request` and
gives the `Response` to `Request.parse`. Called by the command line, the desktop and scripts.
"""

from dagdeck_client.requests.base import Request, Response

__all__ = ["Request", "Response"]
