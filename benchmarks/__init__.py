"""Measurements, one file each; the tables of an actual run are in README.md."""
