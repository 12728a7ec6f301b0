"""Command lines: ``adaspringd``, ``adaspringctl`` and ``adaspring``."""
