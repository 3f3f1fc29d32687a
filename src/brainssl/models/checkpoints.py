"""Checkpoints of others: where in a file the tensors of a network lie, under whatever names."""

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.stem import is_collapsible

_DEEPEST = 6  # dicts within dicts
_COUNTER = "num_batches_tracked"  # nothing rests on it, and old files lack it
# What a library's authors evaluate, where a file holds two networks of one kind: a teacher (DINO),
# the mean of its weights (timm), else the one that learns, and not the one that follows it (MoCo
# v1 to v3, BYOL, solo-learn, lightly).
_FIRST = {"teacher", "ema"}
_LAST = {"student", "momentum", "target", "key", "k"}


@dataclass(frozen=True)
class Table:
    """Tensors of one dict of a file.

    Attributes:
        where: keys that lead to it, such as `state_dict`.
        tensors: by name.
    """

    where: str
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Reading:
    """One way to read a network out of a table.

    Attributes:
        network: whose tensors are looked for.
        table: that is read.
        prefix: under which the network's tensors lie.
        tensors: all under that prefix, by the names that the network would have for them.
    """

    network: nn.Module
    table: Table
    prefix: str
    tensors: Mapping[str, Tensor]

    @cached_property
    def own(self) -> dict[str, Tensor]:
        """The network's tensors that anything rests on."""
        return {k: v for k, v in self.network.state_dict().items() if not k.endswith(_COUNTER)}

    @cached_property
    def rest(self) -> list[str]:
        """Names that are there and not the network's."""
        own = self.network.state_dict()
        return [name for name in self.tensors if name not in own]

    @cached_property
    def missing(self) -> list[str]:
        """Names of the network that are not there."""
        return [name for name in self.own if name not in self.tensors]

    @cached_property
    def unlike(self) -> list[str]:
        """Names that are there with another shape."""
        other = [
            (name, self.tensors[name], own)
            for name, own in self.own.items()
            if name in self.tensors and self.tensors[name].shape != own.shape
        ]
        return [name for name, *pair in other if not is_collapsible(self.network, name, *pair)]

    @cached_property
    def strange(self) -> list[str]:
        """Names of layers that the network does not have, within parts that it has."""
        parts = {name.split(".")[0] for name in self.own}
        head = getattr(self.network, "pretrained_cfg", {}).get("classifier") or ()
        heads = tuple(f"{name}." for name in ([head] if isinstance(head, str) else head))
        return [
            name
            for name in self.rest
            if name.split(".")[0] in parts
            and not name.startswith(heads)
            and not name.endswith(_COUNTER)
        ]

    @property
    def fits(self) -> bool:
        """Whether it is the network, whole and nothing else."""
        return not (self.missing or self.unlike or self.strange)

    @property
    def rank(self) -> tuple[bool, float, int]:
        """What to choose by: the larger, the better."""
        words = set(re.split(r"[._/]", f"{self.table.where}.{self.prefix}"))
        wish = 1 if words & _FIRST else -1 if words & _LAST else 0
        alike = len(self.own) - len(self.missing) - len(self.unlike)
        return self.fits, alike / (len(self.own) + len(self.strange)), wish

    @property
    def place(self) -> str:
        """Where in the file it lies, in words; "" if it is the whole file."""
        return ", ".join(part for part in (self.table.where, self.prefix) if part)

    def taken(self) -> dict[str, Tensor]:
        """Return the network's tensors, those of its counters too where they are there."""
        rest = set(self.rest)
        return {name: tensor for name, tensor in self.tensors.items() if name not in rest}

    def left_out(self) -> dict[str, int]:
        """Count what else is in the table, by the part that it belongs to."""
        rest = [f"{self.prefix}{name}" for name in self.rest]
        rest += [name for name in self.table.tensors if not name.startswith(self.prefix)]
        return dict(Counter(_part(name, self.prefix) for name in rest))


def read_checkpoint(path: Path) -> list[Table]:
    """Read a file of PyTorch, tensors and plain values alone.

    Raises:
        BrainsslError: missing, damaged, or made of more than tensors and plain values.
    """
    try:
        # What DINO and timm keep their arguments in: a plain holder of values.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are none of PyTorch's
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BrainsslError(f"{path} is missing: see encoder.weights") from None
    except Exception as error:  # noqa: BLE001 - a damaged or hostile file may fail in any way
        raise BrainsslError(_why_not(path, str(error))) from None
    return tables_of(content)


def _why_not(path: Path, reason: str) -> str:
    unknown = re.search(r"GLOBAL ([\w.]+)", reason)
    what = unknown[1] if unknown else "TorchScript" if "TorchScript" in reason else None
    if what is None:
        return f"{path} is damaged or no file of PyTorch: give a checkpoint or .safetensors"
    return (
        f"{path} holds more than tensors ({what}), and reading that may run code: if you trust "
        f"where it comes from, convert it: python -c \"import torch; c = torch.load('{path.name}', "
        "'cpu', weights_only=False); torch.save(c.get('state_dict', c), 'weights.pth')\""
    )


def tables_of(content: Any) -> list[Table]:
    """Return every dict of tensors in what a checkpoint holds, the outermost first."""
    return list(_tables(content, ()))


def _tables(content: Any, above: tuple[str, ...]) -> Iterator[Table]:
    if not isinstance(content, Mapping) or len(above) > _DEEPEST:
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield Table("/".join(above), tensors)
    for key, value in named.items():
        yield from _tables(value, (*above, key))


def read_network(tables: Sequence[Table], network: nn.Module) -> Reading | None:
    """Return the reading that is most like a network; None where nothing is like it at all.

    Names are taken as they are behind a common prefix; as the numbers of the network's parts, as
    `nn.Sequential` of them has it (lightly); or as timm translates names of the network's authors.
    """
    found = [reading for one in _groups(tables, network) for reading in _by_name(one)]
    if not any(reading.fits for reading in found):
        found += [reading for one in _groups(tables, network) for reading in _by_timm(one)]
    best = max(found, key=lambda reading: reading.rank, default=None)
    return best if best and best.rank[1] > 0 else None


def _groups(tables: Sequence[Table], network: nn.Module) -> Iterator[Reading]:
    """Yield what lies under each prefix that has names enough for half of a network."""
    least = len(network.state_dict()) // 2
    for table in tables:
        within: dict[str, dict[str, Tensor]] = {}
        for name, tensor in table.tensors.items():
            parts = name.split(".")
            for depth in range(len(parts)):
                prefix = "".join(f"{part}." for part in parts[:depth])
                within.setdefault(prefix, {})[".".join(parts[depth:])] = tensor
        for prefix, tensors in within.items():
            if len(tensors) >= least:
                yield Reading(network, table, prefix, tensors)


def _by_name(group: Reading) -> Iterator[Reading]:
    yield group
    children = [name for name, _ in group.network.named_children()]
    numbers = {str(place): name for place, name in enumerate(children)}
    split = {name: name.partition(".") for name in group.tensors}
    if all(first in numbers for first, _, _ in split.values()):
        named = {f"{numbers[first]}.{rest}": name for name, (first, _, rest) in split.items()}
        tensors = {own: group.tensors[name] for own, name in named.items()}
        yield Reading(group.network, group.table, group.prefix, tensors)


def _by_timm(group: Reading) -> Iterator[Reading]:
    module = sys.modules[type(group.network).__module__]
    translate = getattr(module, "checkpoint_filter_fn", getattr(module, "_filter_fn", None))
    if translate is None:
        return
    try:
        tensors = translate(dict(group.tensors), group.network)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return  # it was made for other names
    if isinstance(tensors, Mapping):
        yield Reading(group.network, group.table, group.prefix, tensors)


def _part(name: str, prefix: str) -> str:
    """Name the part of a file that a tensor belongs to: as far as it parts from a prefix."""
    common, parts = [], name.split(".")
    for one, other in zip(parts, prefix.split("."), strict=False):
        if one != other:
            break
        common.append(one)
    return ".".join(parts[: len(common) + 1])
