"""Components of kind `state`."""
