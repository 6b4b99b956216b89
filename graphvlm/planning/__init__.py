"""What a training step of a graph takes on each rank: memory, arithmetic, exchanges, time. Nothing here imports torch.

`plan` is the way in. The formulae and where they come from stand in `docs/howto/plan.md`.
"""

from __future__ import annotations

from .estimate import Plan, plan
from .hardware import DEVICES, Device, device
from .workload import Workload

__all__ = ["DEVICES", "Device", "Plan", "Workload", "device", "plan"]
