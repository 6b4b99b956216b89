"""Key names of reference checkpoints, so that no architecture has a name in the code."""
