"""Components of kind `projector`."""
