"""A process that only predicts need not wait for PyTorch's compiler, nor for a client of a hub.

timm and torchvision import the compiler (`torch._dynamo`, a third of the time until the first
answer) for a question that an operator of detection asks when it is called, and for a decorator of
one network. timm imports `huggingface_hub` where it is there, and does without it where it is not.
"""

import sys
from types import ModuleType
from typing import Any, cast

_COMPILER = ("torch._dynamo", "torch._dynamo.utils")
_HUB = "huggingface_hub"


def import_networks() -> None:
    """Import torchvision and timm without the compiler, which is imported when first asked for.

    For a process of its own: a network that timm keeps out of `torch.compile` (the iterator of
    NaFlexViT) is not kept out of it there, and timm fetches nothing from a hub. Where it does
    not work out, or they are there already, nothing changes, and they are imported as usual.
    """
    if any(name in sys.modules for name in ("timm", "torchvision", *_COMPILER)):
        return
    import torch.compiler

    package, functions = (ModuleType(name) for name in _COMPILER)
    package.__path__ = []
    functions.__dict__["is_compile_supported"] = _is_compile_supported
    disable = torch.compiler.disable
    sys.modules.update(zip(_COMPILER, (package, functions), strict=True))
    hub = sys.modules.get(_HUB)
    sys.modules[_HUB] = cast("Any", None)  # as if it were not installed
    torch.compiler.disable = cast("Any", _as_it_is)
    worked = False
    try:
        import timm
        import torchvision

        worked = bool(timm and torchvision)
    except (ImportError, AttributeError):
        pass  # of another version, which asks for more
    finally:
        torch.compiler.disable = disable
        for name in (*_COMPILER, _HUB):
            del sys.modules[name]
        if hub is not None:
            sys.modules[_HUB] = hub
        if not worked:
            for name in [n for n in sys.modules if n.split(".")[0] in ("timm", "torchvision")]:
                del sys.modules[name]


def _is_compile_supported(device: Any) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device))


def _as_it_is(function: Any = None, **_options: Any) -> Any:
    """Stand for `torch.compiler.disable`, with and without parentheses."""
    return _as_it_is if function is None else function
