"""Projectors: embeddings of one width to embeddings of another."""
