"""`encoder/hf_auto`: a model of the library transformers as an encoder, made from its config."""

from __future__ import annotations

from ...code import Statement, quoted
from ...ir import Node
from ...node_page import NodePage, Wiring
from ...problems import Problems
from ...settings import Settings
from ...spec import Inferred, Signature
from .._foreign import Foreign, foreign_page, foreign_signature, keywords, lower_foreign

LIBRARY = "transformers"


class HfAutoComponent:
    """Ports and page of `encoder/hf_auto`."""

    modules = frozenset[str]()

    def signature(self, name: str, settings: Settings) -> Signature:
        return foreign_signature(name, settings)

    def lower(self, settings: Settings, inferred: Inferred, problems: Problems) -> Foreign:
        type_ = settings.get("config", "model_type")
        apart = ("model_type",)
        return lower_foreign(
            settings, inferred, problems, origin=(LIBRARY, "AutoModel"), target=type_, given="config", apart=apart
        )

    def page(self, node: Node, wiring: Wiring) -> NodePage:
        spec = node.spec
        assert isinstance(spec, Foreign)
        given = (quoted(spec.target), *keywords(spec))
        made = (
            Statement("settings", "AutoConfig.for_model", given),
            Statement("module: nn.Module", "AutoModel.from_config", ("settings",)),
            Statement("", "", ("return module",)),
        )
        return foreign_page(node, wiring, {LIBRARY: ("AutoConfig", "AutoModel")}, made, named=True)


COMPONENT = HfAutoComponent()
