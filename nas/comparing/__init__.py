"""Strategies compared on one problem: many searches, and what can be said of their differences."""
