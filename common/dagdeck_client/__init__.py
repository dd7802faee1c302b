"""The control API's typed client, and the `dagdeck` command line on top of it.

Decides how requests to the API are built and answers are read, without doing I/O itself
(`requests`, `models`); `transport` sends them by HTTP. Does not decide anything about DAGs or runs. Used by
the command line, by the desktop, and by scripts that want typed objects.
"""
