"""Hooks that come with DagDeck: each module talks to one kind of thing outside."""
