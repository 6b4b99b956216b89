"""Exports of graphs: what they hold, what runs them, and the table of all ready graphs."""
