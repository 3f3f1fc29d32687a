"""The report of a study: one self-contained page, made from its folder alone."""

from brainssl.reporting.report import render_report

__all__ = ["render_report"]
