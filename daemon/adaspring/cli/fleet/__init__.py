"""``adaspring fleet``: many devices looked at together, from what they have kept."""
