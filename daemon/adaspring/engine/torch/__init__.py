"""The torch engine; nothing else but the workbench imports torch."""
