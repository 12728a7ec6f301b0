"""Commands of ``adaspringctl``: one module for each family, added in `adaspring.cli.adaspringctl`."""
