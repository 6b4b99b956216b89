"""A directory for transformers as engines see it: its models, and the sources of their modules."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn


class Directory:
    """A directory, with its base model and the one that writes text, built from the configuration."""

    def __init__(self, path: Path) -> None:
        import transformers

        self.path = path
        self.json: Mapping[str, Any] = json.loads((path / "config.json").read_text())
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=True)
        torch.manual_seed(0)
        self.base: Any = transformers.AutoModel.from_config(config, trust_remote_code=True).eval()
        auto = next(name for name in self.json["auto_map"] if name not in ("AutoConfig", "AutoModel"))
        self.writing: Any = getattr(transformers, auto).from_config(config, trust_remote_code=True).eval()
        self.config = self.base.config
        self.text = self.config.get_text_config()
        self.language: Any = getattr(self.base, "language_model", self.base)
        self.alone = self.language is self.base

    def module(self, of: object) -> ModuleType:
        return importlib.import_module(type(of).__module__)

    def attentions(self) -> list[Any]:
        """The modules that dispatch."""
        return [each for each in self.language.modules() if hasattr(each, "layer_idx") and hasattr(each, "scaling")]

    def attending(self) -> list[int]:
        """The layers that attend to their tokens, all but linear ones and those that attend to something else."""
        layers = getattr(self.language, "layers", ())
        kinds = getattr(self.text, "layer_types", None) or [""] * len(layers)
        other = [kind == "linear_attention" for kind in kinds]
        asks = [hasattr(layer, "attn") or not hasattr(layer, "cross") for layer in layers]
        return [i for i in range(len(layers)) if asks[i] and not other[i]]

    def named(self, suffix: str) -> list[Any]:
        return [each for each in self.base.modules() if type(each).__name__.endswith(suffix)]


def forward_of(module: nn.Module) -> ast.FunctionDef:
    """The source of a module's `forward`; it has to lie in a file."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(type(module).forward)))
    found = tree.body[0]
    assert isinstance(found, ast.FunctionDef)
    return found


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def own(call: ast.Call) -> str:
    """`q_proj` of `self.q_proj(...)`; empty for other calls."""
    found = re.fullmatch(r"self\.(\w+)", ast.unparse(call.func))
    return found[1] if found else ""
