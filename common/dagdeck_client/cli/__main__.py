"""`python -m dagdeck_client.cli`: the same as the command `dagdeck`.

Decides nothing. Used where the command itself is not on the path.
"""

from dagdeck_client.cli import main

main()
