"""``adaspring demo``: real frames through a real daemon while a day of context passes in a minute."""
