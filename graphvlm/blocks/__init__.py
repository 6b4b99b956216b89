"""The block language as typed values: stacks of layers of residual sublayers, shared by encoders and decoders."""
