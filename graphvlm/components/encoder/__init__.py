"""Components of kind `encoder`."""
