"""Generated packages against `transformers`, and the compiler against its own limits; see README.md."""
