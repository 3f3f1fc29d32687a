"""Settings of everything: typed sections, presets, and the reason of every value."""

from brainssl.settings.loading import BY_HAND, load_settings, preset_names
from brainssl.settings.settings import (
    LABELLED_METHODS,
    METHOD_NAMES,
    SEMI_SUPERVISED,
    Settings,
    flat,
)

__all__ = [
    "BY_HAND",
    "LABELLED_METHODS",
    "METHOD_NAMES",
    "SEMI_SUPERVISED",
    "Settings",
    "flat",
    "load_settings",
    "preset_names",
]
