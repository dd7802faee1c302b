"""The sensors that come with DagDeck; each module holds one kind."""
