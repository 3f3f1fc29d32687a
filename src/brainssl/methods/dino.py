"""DINO (Caron et al. 2021, https://arxiv.org/abs/2104.14294)."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainssl.methods.gathering import mean_over_ranks
from brainssl.methods.heads import ExactLinear, Prototypes, mlp
from brainssl.methods.method import Crop
from brainssl.methods.momentum import MomentumMethod
from brainssl.models.encoder import Encoder
from brainssl.settings.methods import DINOSettings, MethodSettings


class DINO(MomentumMethod):
    """The student, from any crop, gives the answer that the teacher gives to a global one."""

    settings_type = DINOSettings
    centre: Tensor

    def __init__(self, encoder: Encoder, chosen: DINOSettings) -> None:
        super().__init__(encoder, dino_head(encoder.dim, chosen), chosen)
        self.chosen = chosen
        self.register_buffer("centre", torch.zeros(chosen.output_dim))
        self._taught_mean = torch.zeros(chosen.output_dim)

    @classmethod
    def crops(cls, chosen: MethodSettings) -> tuple[Crop, ...]:
        """Return two global crops and the local ones."""
        assert isinstance(chosen, DINOSettings)
        local = Crop(area=chosen.local_area, scale=chosen.local_scale)
        return Crop(), Crop(), *[local] * chosen.local_crops

    @property
    def trained(self) -> Encoder:
        """The teacher's encoder: the student's BatchNorm has mixed two resolutions."""
        return cast("Encoder", self.teacher[0])

    def embed(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return the teacher's centred output."""
        output: Tensor = self.teacher(view).float() - self.centre
        return output

    def answers(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n k"]:
        """Return the teacher's centred and sharpened answers."""
        return (self.embed(view) / self.teacher_temperature).softmax(dim=1)

    @property
    def teacher_temperature(self) -> float:
        """The teacher's temperature now: it rises linearly during the warm-up."""
        chosen = self.chosen
        epochs = min(chosen.warmup_epochs, self.moment.steps / self.moment.epoch_steps)
        done = min(1.0, self.moment.epoch / epochs) if epochs else 1.0
        start, end = chosen.teacher_warmup_temperature, chosen.teacher_temperature
        return start + done * (end - start)

    def loss(self, views: list[Float[Tensor, "n 1 _ _"]]) -> Float[Tensor, ""]:
        """Return the cross-entropy of the student's answers to the teacher's.

        One forward for the global crops and one for the local ones, as in the original.
        """
        global_crops, local_crops = torch.cat(views[:2]), views[2:]
        with torch.no_grad():
            taught = self.teacher(global_crops).float()
        answered = [self.online(global_crops).float()]
        if local_crops:
            answered.append(self.online(torch.cat(local_crops)).float())
        n = len(views[0])
        loss = cross_entropy(
            torch.cat(answered).view(len(views), n, -1),
            taught.view(2, n, -1),
            self.centre,
            student_temperature=self.chosen.student_temperature,
            teacher_temperature=self.teacher_temperature,
        )
        self._taught_mean = mean_over_ranks(taught.mean(dim=0))
        return loss

    def after_backward(self) -> None:
        """Keep the last layer still at first, which steadies the start (appendix C)."""
        if self.moment.epoch < self.chosen.freeze_epochs:
            last_layer = cast("nn.Sequential", self.online[1])[-1]
            for parameter in last_layer.parameters():
                parameter.grad = None

    def after_step(self) -> None:
        """Move the centre, after the loss has used the old one (the study's equation 16)."""
        self.centre.lerp_(self._taught_mean, 1 - self.chosen.centre_momentum)
        super().after_step()


def dino_head(in_dim: int, chosen: DINOSettings) -> nn.Sequential:
    """Linear layers with GELU; then prototypes, if there is a bottleneck.

    Its outputs are float32 whatever the autocast, as temperatures magnify rounding.
    """
    hidden = [chosen.hidden_dim] * (chosen.layers - 1)
    out = chosen.bottleneck_dim or chosen.output_dim
    last = nn.Linear if chosen.bottleneck_dim else ExactLinear
    layers = mlp(in_dim, *hidden, out, norm=False, activation=nn.GELU, last=last)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    if chosen.bottleneck_dim:
        layers.append(Prototypes(chosen.bottleneck_dim, chosen.output_dim))
    return layers


def cross_entropy(
    student: Float[Tensor, "views n k"],
    teacher: Float[Tensor, "globals n k"],
    centre: Float[Tensor, " k"],
    *,
    student_temperature: float,
    teacher_temperature: float,
) -> Float[Tensor, ""]:
    """Return the mean of −p_t(v)ᵀ log p_s(v′) over global v and all views v′ ≠ v (equation 15).

    p_t is the softmax of the centred teacher's output over its temperature (equation 14), p_s that
    of the student's (equation 13).

    Args:
        student: outputs for every view, the global ones first; float32.
        teacher: outputs for the global views, in the same order; float32, without gradient.
        centre: subtracted from the teacher's outputs.
        student_temperature: τ_s > 0.
        teacher_temperature: τ_t > 0, below τ_s.
    """
    with torch.autocast(student.device.type, enabled=False):
        target = ((teacher - centre) / teacher_temperature).softmax(dim=-1)
        answer = (student / student_temperature).log_softmax(dim=-1)
        pairs = -torch.einsum("gnk,vnk->gv", target, answer) / student.shape[1]
        others = pairs.sum() - pairs.diagonal().sum()
        return others / (len(teacher) * (len(student) - 1))
