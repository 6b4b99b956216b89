"""Graphs of any parts put together at random, and what is demanded of each: `python -m tests.combining` draws many."""
