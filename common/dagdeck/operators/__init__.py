"""The operators that come with DagDeck; each module holds one kind."""
