"""Components of kind `decoder`."""
