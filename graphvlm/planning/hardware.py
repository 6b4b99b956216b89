"""Accelerators that people rent, by the numbers of their makers' data sheets."""

from __future__ import annotations

from dataclasses import dataclass

from ..diagnostics import did_you_mean


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator and what joins it to others.

    `memory` is in bytes, `peak` in dense bfloat16 floating-point operations a second, `link` and `network` in bytes a
    second that one device sends to others of its machine, which has `per_machine` of them, and to other machines.
    """

    name: str
    memory: int
    peak: float
    link: float
    network: float = 50e9
    per_machine: int = 8


# Data sheets of NVIDIA and AMD: memory, dense bfloat16, and half of the bidirectional NVLink (Infinity Fabric, PCIe)
# bandwidth. The network is one 400 Gb/s adapter a device, as in the makers' reference machines.
DEVICES = {
    device.name: device
    for device in (
        Device("a100-40g", 40 * 10**9, 312e12, 300e9, 25e9),
        Device("a100-80g", 80 * 10**9, 312e12, 300e9, 25e9),
        Device("h100-80g", 80 * 10**9, 989e12, 450e9),
        Device("h200-141g", 141 * 10**9, 989e12, 450e9),
        Device("b200-180g", 180 * 10**9, 2250e12, 900e9),
        Device("l40s-48g", 48 * 10**9, 362e12, 32e9, 25e9),
        Device("rtx4090-24g", 24 * 10**9, 165e12, 32e9, 12.5e9),
        Device("mi300x-192g", 192 * 10**9, 1307e12, 448e9),
    )
}


def device(name: str) -> Device:
    """The device called `name`. Raises ValueError with what there is."""
    if name in DEVICES:
        return DEVICES[name]
    hint = did_you_mean(name, DEVICES)
    raise ValueError(f"no device `{name}`; {f'{hint} ' if hint else ''}known are {', '.join(DEVICES)}")
