"""View models of whole output files: everything a template needs, worked out."""
