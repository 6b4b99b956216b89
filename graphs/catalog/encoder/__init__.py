"""Encoders: one modality in, embeddings out."""
