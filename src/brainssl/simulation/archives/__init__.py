"""Simulated patients as archives of whole series: DICOM, BIDS, BraTS."""

from brainssl.simulation.archives.archive import FORMATS, SLICES, simulate_archive

__all__ = ["FORMATS", "SLICES", "simulate_archive"]
