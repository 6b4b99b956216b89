"""Components of kind `fusion`."""
