"""A process that only predicts imports of PyTorch and timm what its one network needs.

What it does not wait for: of PyTorch the formulas of operators on tensors without numbers, which
compilers ask for (a quarter of its import); of timm the other architectures, its readers of images,
torchvision, the compiler that both import, and a client of a hub.
"""

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, cast

_FORMULAS = "torch._meta_registrations"
_HOLDERS = {
    "timm.models": ["timm.models._factory", "timm.models._registry", "timm.models._hub"],
    "timm.data": ["timm.data.constants"],
}
_VISION = ("torchvision", "torchvision.ops", "torchvision.ops.misc")
_ASKING = ("torch._decomp", "torch._dynamo", "torch._inductor", "torch._prims", "torch._refs")
_HUB = "huggingface_hub"  # timm does without it where it is not there
_LONGEST = 2**24  # bytes of a header


def import_networks(classifier: Path) -> None:
    """Import PyTorch, and timm with the one architecture that a classifier's file names.

    For a process of its own, which neither compiles nor exports: everything that timm has is found
    in it when it is first asked for, but networks by their names. Where it does not work out, or
    they are there already, nothing changes, and they are imported as usual.

    Args:
        classifier: its file, or the folder that holds it; one that is no such file is told later.
    """
    if not any(name in sys.modules for name in ("torch", "timm", "torchvision")):
        _import_torch()
        if name := _architecture(classifier):
            _import_timm(name)


def _import_torch() -> None:
    """Import it, and its formulas when something of theirs is first asked for."""

    def real(_: str) -> ModuleType:
        if sys.modules.get(_FORMULAS) is formulas:
            del sys.modules[_FORMULAS]
        return import_module(_FORMULAS)

    formulas = _late(_FORMULAS, real)
    with _standing_in({_FORMULAS: formulas}):
        import torch  # noqa: F401
    sys.meta_path.insert(0, _Before())


class _Before(MetaPathFinder):
    """Imports the formulas before what builds on them, which expects them to be there."""

    def find_spec(self, name: str, *_: Any) -> None:
        """Find nothing: others do."""
        if name.startswith(_ASKING):
            sys.meta_path.remove(self)
            import_module(_FORMULAS)


def _architecture(classifier: Path) -> str:
    """Return the name in the header of a file; "" where there is none."""
    file = classifier / "classifier.safetensors" if classifier.is_dir() else classifier
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(length, _LONGEST)))
        for told in header["__metadata__"].values():
            if told.startswith("{") and isinstance(name := json.loads(told).get("encoder"), str):
                return name
    return ""


def _import_timm(name: str) -> None:
    """Import it with the module of one architecture alone, if it has that."""
    found = importlib.util.find_spec("timm")
    if not found or not found.origin:
        return
    folder = Path(found.origin).parent
    module = _module_of(name, folder / "models")
    if module is None:
        return
    parts = {name: _late(name, partial(_holder, holders)) for name, holders in _HOLDERS.items()}
    for name, part in parts.items():
        part.__path__ = [str(folder / name.partition(".")[2])]
    before = set(sys.modules)
    try:
        with _standing_in({_HUB: None, **_vision()}):
            sys.modules |= parts
            import timm

            import_module(f"timm.models.{module}")
        timm.models, timm.data = parts.values()
    except (ImportError, AttributeError):  # of another version, which asks for more
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "timm":
                del sys.modules[name]


def _vision() -> dict[str, ModuleType]:
    """Return what of torchvision timm does not do without: a layer that no architecture has."""
    from torch import nn

    modules = {name: ModuleType(name) for name in _VISION}
    modules[_VISION[-1]].__dict__["FrozenBatchNorm2d"] = type("FrozenBatchNorm2d", (nn.Module,), {})
    return modules


def _module_of(name: str, folder: Path) -> str | None:
    """Return the name of the module that defines an architecture."""
    word = name.partition(".")[0].encode()  # what follows names its weights
    defined = re.compile(rb"^@register_model\ndef %b\(" % re.escape(word), re.MULTILINE)
    files = sorted(folder.glob("*.py"))
    return next((file.stem for file in files if defined.search(file.read_bytes())), None)


def _holder(modules: Sequence[str], name: str) -> ModuleType:
    """Return the module that has what is named."""
    for module in map(import_module, modules):
        if hasattr(module, name):
            return module
    raise AttributeError(name)


def _late(name: str, holder: Callable[[str], ModuleType]) -> ModuleType:
    """Return a module whose names are looked up when they are asked for, where `holder` says."""
    made = ModuleType(name)

    def found(wanted: str) -> Any:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        return getattr(holder(wanted), wanted)

    made.__dict__["__getattr__"] = found
    return made


@contextmanager
def _standing_in(modules: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Let modules stand for those of their names within the block; None: as if not installed."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules |= cast("dict[str, ModuleType]", modules)
    try:
        yield
    finally:
        for name, one in before.items():
            if one is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = one
