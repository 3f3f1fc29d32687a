"""Self-supervised learning for brain MRI classification, with results that can be believed."""

__version__ = "0.1.0"
