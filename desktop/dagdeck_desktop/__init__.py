"""The desktop control center: shows and steers clusters through their control API.

Decides nothing about DAGs or runs. It talks to a control API only, through `dagdeck_client`'s requests and a transport
of its own (Qt's network), never to a database or a queue. Started by the `dagdeck-desktop` command (`__main__`).
"""
