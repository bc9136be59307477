"""The report of a run: facts from its logs, figures, tables, and the page that holds them."""
