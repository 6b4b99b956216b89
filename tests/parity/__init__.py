"""Generated packages against `transformers`: the reference implementation decides."""
