"""Decoders: embeddings to hidden states and logits."""
