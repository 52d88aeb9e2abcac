"""Running circuits and learners: the reference interpreter, and the fast engines that must give the same bits."""

from rdahw.sim.engines import ReferenceEngine
from rdahw.sim.reference import Reference, run

__all__ = ["Reference", "ReferenceEngine", "run"]
