"""One engine, by the Python API that `tensorrt` and `tensorrt_rtx` share or by `torch_tensorrt`, kept by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .backends import Backend

Profile = Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Order:
    """What an engine shall be like. Targets are compute capabilities such as `sm_86`; none means the GPU that is here.

    With `strip` the weights stay out of the engine, and a refit puts them in; with `refit` they may be replaced.
    `workspace` is in bytes.
    """

    targets: tuple[str, ...] = ()
    strip: bool = False
    refit: bool = False
    workspace: int = 2 << 30


@dataclass(frozen=True, slots=True)
class Built:
    """An engine, and whether it came out of the cache."""

    path: Path
    cached: bool


class Refused(Exception):
    """TensorRT does not take a model; the message says which operator, or which setting."""


def build(
    model: Path,
    profile: Profile,
    order: Order,
    backend: Backend,
    *,
    cache: Path,
    exported: Any = None,
) -> Built:
    """The engine of an ONNX model, in a cache named by all that it depends on.

    `exported` is the traced program, which `torch_tensorrt` reads in place of the model.
    """
    module = backend.load()
    path = cache / f"{key(model, profile, order, backend, module)}.engine"
    if path.exists():
        return Built(path, cached=True)
    if backend.module == "torch_tensorrt":
        assert exported is not None
        plan = by_torch(module, exported, profile, order)
    else:
        plan = by_parser(module, model, profile, order)
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(plan)
    unfinished.replace(path)
    return Built(path, cached=False)


def key(model: Path, profile: Profile, order: Order, backend: Backend, module: ModuleType) -> str:
    """A name from the content: model, weights beside it, profile, order, and the version of what builds."""
    made = hashlib.sha256()
    for file in (model, *sorted(model.parent.glob("weights.bin"))):
        with file.open("rb") as opened:
            made.update(hashlib.file_digest(opened, "sha256").digest())
    version = getattr(module, "__version__", "")
    made.update(json.dumps([profile, asdict(order), backend.name, version], sort_keys=True).encode())
    return made.hexdigest()[:32]


def by_parser(trt: ModuleType, model: Path, profile: Profile, order: Order) -> bytes:
    """Parse a model, add its profile, build. Types are those of the model: the network is strongly typed."""
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(_typed(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(model)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise Refused("; ".join(f"{model.name}, node `{each.node_name()}`: {each.desc()}" for each in errors))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, order.workspace)
    shapes = builder.create_optimization_profile()
    for name, (least, usual, most) in profile.items():
        shapes.set_shape(name, least, usual, most)
    if config.add_optimization_profile(shapes) < 0:
        raise Refused(f"{model.name}: TensorRT does not take the profile {profile}")
    for flag in (("STRIP_PLAN",) if order.strip else ()) + (("REFIT",) if order.refit else ()):
        config.set_flag(getattr(trt.BuilderFlag, flag))
    _aim(trt, config, order.targets)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise Refused(f"{model.name}: the builder gave no engine; its log says why")
    return bytes(plan)


def _typed(trt: ModuleType) -> int:
    """The flag of networks whose types are those of the model; where it is gone, all networks are such."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _aim(trt: ModuleType, config: Any, targets: tuple[str, ...]) -> None:
    """Build for other GPUs than the one that is here. The builder says no by what it returns."""
    if not targets:
        return
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        capability = getattr(trt.ComputeCapability, target.replace("_", "").upper(), None)
        if capability is None or not config.set_compute_capability(capability, index):
            raise Refused(f"this builder makes no engines for {target}")


def by_torch(torch_tensorrt: ModuleType, exported: Any, profile: Profile, order: Order) -> bytes:
    """The whole program as one engine, from the traced program, which has its weights in memory."""
    if any(tensor.is_meta for tensor in exported.state_dict.values()):
        raise Refused(
            "torch-tensorrt takes models that fit in memory; `--backend tensorrt` reads the weights from the file"
        )
    inputs = [
        torch_tensorrt.Input(min_shape=least, opt_shape=usual, max_shape=most, dtype=tensor.dtype)
        for (least, usual, most), tensor in zip(profile.values(), exported.example_inputs[0], strict=True)
    ]
    plan: bytes = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
        exported,
        arg_inputs=inputs,
        use_explicit_typing=True,
        workspace_size=order.workspace,
        immutable_weights=not (order.refit or order.strip),
        strip_engine_weights=order.strip,
    )
    return plan
