"""Checkpoints as libraries write them, of one torchvision network and of another beside it.

Where each layout is from:
    timm: `timm/utils/checkpoint_saver.py`.
    MoCo v1, v2: facebookresearch/moco `main_moco.py` and `moco/builder.py`; evaluated is the query
        encoder (`main_lincls.py`).
    MoCo v3: facebookresearch/moco-v3, the same files; evaluated is `base_encoder`.
    DINO: facebookresearch/dino `main_dino.py`; evaluated is the teacher (`eval_linear.py`).
    solo-learn: vturrisi/solo-learn `solo/methods/base.py`; evaluated is `backbone`
        (`main_linear.py`), `encoder` in early versions.
    SimSiam: facebookresearch/simsiam `main_simsiam.py` and `simsiam/builder.py`.
    SwAV: facebookresearch/swav `main_swav.py` and `src/resnet50.py`.
    Barlow Twins: facebookresearch/barlowtwins `main.py`.
    BYOL: lucidrains/byol-pytorch `byol_pytorch/byol_pytorch.py`.
    lightly-train: `torch_state_dict` of its export; `embedding_model` of its checkpoints
        (`lightly_train/_methods`, `lightly_train/_models`).
    RadImageNet: its ResNet50.pt, an `nn.Sequential` of the network's parts.
lightly's own is in `test_checkpoints.py`, written by lightly.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]
ORDER = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")


def under(prefix: str, state: State, *, head: str | None = "fc.0") -> State:
    """Put a state without its classifier under a prefix, with a head if one is named."""
    own = {f"{prefix}{k}": v for k, v in state.items() if not k.startswith("fc.")}
    return own | ({f"{prefix}{head}.weight": torch.zeros(4, 512)} if head else {})


def numbered(prefix: str, state: State) -> State:
    """Name the network's parts by their numbers."""
    split = {k: k.split(".", 1) for k in state if not k.startswith("fc.")}
    return {f"{prefix}{ORDER.index(a)}.{b}": state[k] for k, (a, b) in split.items()}


def training(**own: Any) -> dict[str, Any]:
    """Put beside the weights what trainings keep as well."""
    momentum = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    return {"epoch": 7, "arch": "resnet18", "optimizer": momentum} | own


LAYOUTS: dict[str, Callable[[State, State], dict[str, Any]]] = {
    "torchvision": lambda state, _: state,
    "without counters": lambda state, _: {k: v for k, v in state.items() if "num_batches" not in k},
    "timm": lambda state, other: training(
        state_dict=other, state_dict_ema=state, args=argparse.Namespace(lr=0.1)
    ),
    "moco v2": lambda state, other: training(
        state_dict={
            **under("module.encoder_k.", other),
            **under("module.encoder_q.", state),
            "module.queue": torch.zeros(4, 16),
        }
    ),
    "moco v3": lambda state, other: training(
        state_dict={
            **under("module.momentum_encoder.", other),
            **under("module.base_encoder.", state),
            "module.predictor.0.weight": torch.zeros(4, 4),
        }
    ),
    "dino": lambda state, other: training(
        student=under("module.backbone.", other, head=None)
        | {"module.head.mlp.0.weight": torch.zeros(4, 4)},
        teacher=under("backbone.", state, head=None) | {"head.mlp.0.weight": torch.zeros(4, 4)},
        args=argparse.Namespace(arch="resnet18"),
        dino_loss={"center": torch.zeros(1, 4)},
    ),
    "solo-learn": lambda state, other: {
        "pytorch-lightning_version": "1.9.0",
        "state_dict": {
            **under("momentum_backbone.", other, head=None),
            **under("backbone.", state, head=None),
            "classifier.weight": torch.zeros(4, 512),
            "momentum_projector.0.weight": torch.zeros(4, 4),
        },
        "hyper_parameters": {"method": "byol"},
    },
    "solo-learn, early": lambda state, _: {"state_dict": under("encoder.", state, head=None)},
    "simsiam": lambda state, _: training(
        state_dict=under("module.encoder.", state) | {"module.predictor.0.weight": torch.zeros(4)}
    ),
    "swav": lambda state, _: training(
        state_dict=under("module.", state, head="projection_head.0")
        | {"module.prototypes.weight": torch.zeros(4, 4)}
    ),
    "barlow twins": lambda state, _: training(
        model=under("module.backbone.", state, head=None)
        | {"module.projector.0.weight": torch.zeros(4, 4)}
    ),
    "byol": lambda state, other: {
        **under("target_encoder.net.", other),
        **under("net.", state),
        **under("online_encoder.net.", state),
        "online_encoder.projector.0.weight": torch.zeros(4, 4),
    },
    "a wrapper": lambda state, _: {"model_state_dict": under("online_encoder._orig_mod.", state)},
    "lightly-train": lambda state, other: {
        "state_dict": {
            **under("student_embedding_model.wrapped_model._features.", other, head=None),
            **under("teacher_embedding_model.wrapped_model._features.", state, head=None),
            "student_projection_head.layers.0.weight": torch.zeros(4, 4),
        }
    },
    "radimagenet": lambda state, _: numbered("backbone.", state),
}
