"""Side-by-side measurements; each module ends with one line of JSON (``make bench`` lists them)."""
