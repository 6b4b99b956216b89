"""What graphvlm promises, as tests; `parity/` holds those against the reference implementations."""
