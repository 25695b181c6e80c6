"""An AMI proved: launched, watched, judged, and ended - whatever happens on the way.

plan ──► sweep ──► RunInstances, journalled before ──► console, status checks ──► verdict ──► TerminateInstances
"""

from __future__ import annotations

from vmie.ops.prove.operation import ProofOperation, ProofResult
from vmie.ops.prove.planning import ProofPlan

__all__ = ["ProofOperation", "ProofPlan", "ProofResult"]
