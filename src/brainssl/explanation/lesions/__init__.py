"""Where the lesions are, as far as somebody has drawn them."""

from brainssl.explanation.lesions.source import read_lesions

__all__ = ["read_lesions"]
