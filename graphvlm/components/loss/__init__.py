"""Components of kind `loss`."""
