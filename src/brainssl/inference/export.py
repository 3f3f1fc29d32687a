"""ONNX: a model for runtimes without PyTorch, checked against PyTorch before it is kept."""

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainssl import __version__
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import require
from brainssl.foundation.storage import refuse_existing, write_atomically
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder

if TYPE_CHECKING:
    from onnx import ModelProto

VERSION = 1
TOLERANCE = 1e-4  # in units of the largest output
_BATCHES = (1, 3)


class _Answers(nn.Module):
    """A classifier with its outputs, as `brainssl predict` gives them."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature: float | None = (classifier.limits or {}).get("temperature")

    @property
    def outputs(self) -> list[str]:
        """Names of what it returns."""
        return ["logits", "probabilities", *(["calibrated"] if self.temperature else [])]

    def forward(
        self, images: Float[Tensor, "n 1 size size"]
    ) -> tuple[Float[Tensor, "n classes"], ...]:
        """Return logits, their softmax, and where a temperature is known that at it."""
        logits = self.classifier.predict(images)
        if self.temperature is None:
            return logits, logits.softmax(dim=1)
        return logits, logits.softmax(dim=1), (logits / self.temperature).softmax(dim=1)


def export_onnx(model: Encoder | Classifier, out: Path) -> dict[str, Any]:
    """Write a model as ONNX, in float32 and with any batch size.

    The input `images` is float32 (n, 1, size, size) in [0, 1]; the normalisation is inside. An
    encoder gives `features` (n, dim); a classifier `logits`, `probabilities`, their softmax, and,
    if it knows its temperature, `calibrated`, their softmax at that, all (n, classes), over as many
    views of an image as it has `test_views`. Thresholds of its sets are among the metadata as
    `limits`; what is unfamiliar cannot be told without the features of training images, which are
    left out.

    Args:
        model: what to write; it stays as it is.
        out: file to make, atomically.

    Returns:
        The file's metadata, `outputs` (their names), and as `difference` the largest one from
        PyTorch's outputs on random images, in units of the largest output.

    Raises:
        BrainsslError: `out` exists, the extra `onnx` is not installed, the exporter does not know
            the architecture, or ONNX Runtime's answers differ from PyTorch's.
    """
    require("onnx")
    import onnx

    refuse_existing(out)
    model = copy.deepcopy(model).cpu().float().eval()
    network: nn.Module = model
    outputs = ["features"]
    if isinstance(model, Classifier):
        network = answers = _Answers(model).eval()
        outputs = answers.outputs
    metadata = _metadata(model)
    graph = _converted(network, model.image_size, outputs, metadata["name"])
    onnx.helper.set_model_props(graph, {name: _text(value) for name, value in metadata.items()})
    onnx.checker.check_model(graph, full_check=True)
    difference = _difference(network, model.image_size, graph)
    if not difference <= TOLERANCE:
        raise BrainsslError(
            f"{out} was not made: ONNX Runtime's answers differ from PyTorch's by "
            f"{difference:.2g}, more than {TOLERANCE:g}: upgrade the packages of 'brainssl[onnx]', "
            "or choose another architecture"
        )
    write_atomically(out, lambda beside: onnx.save(graph, beside))
    return {**metadata, "outputs": outputs, "difference": difference}


def _metadata(model: Encoder | Classifier) -> dict[str, Any]:
    encoder = model.encoder if isinstance(model, Classifier) else model
    described = {
        "format": "brainssl-onnx",
        "version": VERSION,
        "brainssl": __version__,
        "image_size": model.image_size,
        "mean": encoder.mean,
        "std": encoder.std,
        "facts": model.facts,
    }
    if isinstance(model, Classifier):
        return {
            **described,
            "kind": "classifier",
            "name": encoder.name,
            "classes": list(model.classes),
            **({} if model.limits is None else {"limits": model.limits}),
        }
    return {**described, "kind": "encoder", "name": encoder.name}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _converted(network: nn.Module, size: int, outputs: list[str], name: str) -> "ModelProto":
    try:
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 1, size, size),),
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise BrainsslError(
            f"PyTorch cannot export {name} as ONNX ({reason}): choose another architecture"
        ) from None
    assert program is not None
    converted = program.model_proto
    # What the exporter notes for its developers names paths of this machine.
    graph = converted.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")
    return converted


def _difference(network: nn.Module, size: int, graph: "ModelProto") -> float:
    """Return how far ONNX Runtime is from PyTorch at most, in units of the largest output."""
    import onnxruntime

    run = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    ).run
    generator = torch.Generator().manual_seed(0)
    differences = []
    for n in _BATCHES:
        images = torch.rand(n, 1, size, size, generator=generator)
        with torch.inference_mode():
            answer = network(images)
        expected = answer if isinstance(answer, tuple) else (answer,)
        found = run(None, {"images": images.numpy()})
        for ours, theirs in zip(expected, found, strict=True):
            scale = max(float(ours.abs().max()), np.finfo(np.float32).tiny)
            differences.append(np.abs(ours.numpy() - theirs).max() / scale)
    return float(np.max(differences))
