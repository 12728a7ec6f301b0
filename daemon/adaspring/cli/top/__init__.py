"""``adaspringctl top``: what the daemon does, live in a terminal."""
