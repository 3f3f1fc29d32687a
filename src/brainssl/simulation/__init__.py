"""Simulated patients: brain MRI slices whose patients, lesions and physics are known.

The phantom imports nothing else of the project: what it writes is read like any other data.
"""

from brainssl.simulation.archives import FORMATS, SLICES, simulate_archive
from brainssl.simulation.cohort import simulate

__all__ = ["FORMATS", "SLICES", "simulate", "simulate_archive"]
