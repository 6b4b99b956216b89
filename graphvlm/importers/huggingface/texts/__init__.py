"""The text model classes of transformers, one module for each that is like the others in it."""
