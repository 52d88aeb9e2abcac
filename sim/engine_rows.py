"""The software engines of each family."""

from __future__ import annotations

from rdahw.sim.engines import EngineRow

__all__ = ["ROWS"]

_GROWN = "rdahw.sim.grown:in_shards"

#: For each family the usual engine first.
ROWS = (
    EngineRow("reference", "", "rdahw.sim.engines:reference"),
    EngineRow("packed", "", "rdahw.sim.engines:packed", True),
    EngineRow("packed", "linear", "rdahw.sim.engines:packed", True),
    EngineRow("reference", "linear", "rdahw.sim.engines:reference"),
    EngineRow("compiled", "ensemble", "rdahw.sim.ensemble:compiled", True, "rdahw.sim.ensemble:EnsemblePredictor"),
    EngineRow("reference", "ensemble", "rdahw.sim.ensemble:reference"),
    EngineRow("compiled", "grown", "rdahw.sim.grown:compiled", True, "rdahw.sim.grown:GrownPredictor", _GROWN),
    EngineRow("reference", "grown", "rdahw.sim.grown:reference", sharded=_GROWN),
    EngineRow("compiled", "votes", "rdahw.sim.grown:compiled_votes", is_compiled=True, sharded=_GROWN),
    EngineRow("compiled", "layers", "rdahw.sim.layers:compiled", True, "rdahw.sim.layers:LayersPredictor"),
    EngineRow("reference", "layers", "rdahw.sim.layers:reference"),
    EngineRow("reference", "votes", "rdahw.sim.grown:reference_votes", sharded=_GROWN),
    EngineRow("compiled", "boosted", "rdahw.sim.boosted:compiled", True, "rdahw.sim.boosted:BoostedPredictor"),
    EngineRow("reference", "boosted", "rdahw.sim.boosted:reference"),
    EngineRow("compiled", "coverage", "rdahw.sim.coverage:compiled", True, "rdahw.sim.coverage:CoveragePredictor"),
    EngineRow("reference", "coverage", "rdahw.sim.coverage:reference"),
    EngineRow(
        "compiled", "machine", "rdahw.sim.machine_engine:compiled", True, "rdahw.sim.machine_engine:MachinePredictor"
    ),
    EngineRow("reference", "machine", "rdahw.sim.machine_engine:reference"),
)
