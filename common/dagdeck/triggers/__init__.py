"""The triggers that come with DagDeck; each module holds one kind, `base` what all triggers share."""
