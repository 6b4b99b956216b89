"""Jinja templates of the generated package: `package/` the fixed files, `blocks/` shared parts, one per component.

`hf/` lies over these for the directory that transformers loads.
"""
