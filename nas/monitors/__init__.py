"""Monitors, one file each: they read the search's events and the run directory, and change nothing."""
