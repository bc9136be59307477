"""One file for each format that `python -m nas.export` writes."""
