"""Prints docs/settings.md: `python -m dagdeck_io.settings > docs/settings.md`.

Decides nothing. Called by whoever has changed a declaration.
"""

import sys

from dagdeck_io.settings.render import render_docs

sys.stdout.write(render_docs())
