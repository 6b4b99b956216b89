"""Packages built on the fly: rendered into a cache folder named by their content, and imported from there."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from .ir import Graph
from .output import write
from .problems import Problems
from .rendering import render
from .settings import Settings


def imported(graph: Graph) -> ModuleType:
    """The package of `graph`, under a module name of its own, so that several may be loaded at once."""
    files = render(graph)
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in files.items()).encode()).hexdigest()[:16]
    name = f"{graph.name}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    check_imports(graph)
    folder = folder_of_cache() / name
    write(folder, files, force=True)
    spec = spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    for file in files:
        if file.endswith(".py") and file != "__init__.py":
            import_module(f"{name}.{file.removesuffix('.py')}")
    return module


def check_imports(graph: Graph) -> None:
    """Raise `GraphError` if a module that the package imports is not there, or what it is made of."""
    problems = Problems()
    for node in graph.imported:
        module, name = node.spec.origin
        why = ""
        try:
            found = import_module(module)
        except Exception as problem:  # what runs there is somebody else's
            why = f"{type(problem).__name__}: {problem}"
        else:
            why = "" if hasattr(found, name) else f"`{module}` has no `{name}`"
        if why:
            message = f"`{node.name}` needs `{name}` of `{module}`, which cannot be imported: {why}"
            edit = "install it, or put the folder that it is in on PYTHONPATH"
            problems.error("cannot-import", message, Settings(node.tree).span("target"), help=edit)
    problems.stop()


def folder_of_cache() -> Path:
    """`$GRAPHVLM_CACHE`, else `graphvlm` in the user's cache folder."""
    own = os.environ.get("GRAPHVLM_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "graphvlm"
