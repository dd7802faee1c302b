"""Reads of the metadata database, by subject.

Decides the SQL of every listing and look-up and how rows become answers. Writes nothing. Called by the routes, in
worker threads, with a connection that ends with the request.
"""
