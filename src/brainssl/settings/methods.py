"""The sections of the methods: heads and loss, and what each changes in the shared sections."""

from typing import ClassVar

from brainssl.settings.sections import (
    Amount,
    Area,
    Count,
    FinetuneSettings,
    OptionalPositive,
    OptionalProbability,
    Positive,
    PretrainSettings,
    Probability,
    ProbeSettings,
    Rate,
    Section,
    Share,
    ViewSettings,
)


class MethodSettings(Section):
    """What a self-supervised method sets: its heads and loss, and what it changes in the stages.

    The four sections are those of the same names outside, with the method's own values put in.

    Attributes:
        uses_labels: whether the method learns from labels, too.
    """

    uses_labels: ClassVar[bool] = False

    views: ViewSettings = ViewSettings()
    pretrain: PretrainSettings = PretrainSettings()
    probe: ProbeSettings = ProbeSettings()
    finetune: FinetuneSettings = FinetuneSettings()

    def resolved(self, epoch_steps: int) -> dict[str, tuple[float, str]]:
        """Return the values that depend on the data, by name, each with its reason.

        Args:
            epoch_steps: optimiser steps in an epoch of pretraining.
        """
        del epoch_steps
        return {}


STAGES = tuple(MethodSettings.model_fields)


class SupervisedSettings(Section):
    """The supervised baseline: what it changes in fine-tuning, so that both can be tuned."""

    finetune: FinetuneSettings = FinetuneSettings()
    equal_steps: bool = False  # as many optimiser steps more as a pretraining by [pretrain] takes


class FixMatchSettings(Section):
    """FixMatch: pseudo-labels, and what it changes in the strong views and in fine-tuning."""

    views: ViewSettings = ViewSettings()  # of the strong views
    finetune: FinetuneSettings = FinetuneSettings()
    threshold: Probability = 0.95  # τ: a pseudo-label counts from this probability on
    ratio: Positive = 2  # μ: unlabelled images for each labelled one; the original's 7 make a step
    #                      cost tenfold, 2 make it cost not quite fourfold
    weight: Amount = 1.0  # λ: of the loss of pseudo-labels; 0 leaves the labelled ones


# A teacher that forgets faster than this is hardly behind the student, and has nothing to teach: on
# 584 phantom slices (9 steps an epoch) DINO learnt nothing for 15 epochs at a half-life of 9 steps,
# and from the first at 45.
LEAST_HALF_LIFE = 50


class MomentumSettings(MethodSettings):
    """Those of a method with a momentum encoder."""

    half_life: Rate = 1.0  # epochs in which the teacher forgets half; 50 steps at least
    momentum: OptionalProbability = None  # of a step, at the start; "none": from half_life

    def resolved(self, epoch_steps: int) -> dict[str, tuple[float, str]]:
        """Return the momentum at the start: 0.996 takes 173 steps to forget half, at any epoch."""
        if self.momentum is not None:
            return {"momentum": (self.momentum, "set as it is")}
        steps = self.half_life * epoch_steps
        why = f"a half-life of {self.half_life:g} × the {epoch_steps} steps of an epoch"
        if steps < LEAST_HALF_LIFE:
            steps, why = LEAST_HALF_LIFE, f"{why}, but {LEAST_HALF_LIFE} steps at least"
        return {"momentum": (0.5 ** (1 / steps), why)}


class SimCLRSettings(MethodSettings):
    """SimCLR's projector and loss."""

    hidden_dim: Positive = 512
    output_dim: Positive = 128
    projector_norm: bool = False  # BatchNorm in the projector, as in the original's code
    temperature: Rate = 0.5  # lower it to weigh the hardest negatives more


class SupConSettings(SimCLRSettings):
    """Supervised contrastive learning's projector and loss."""

    temperature: Rate = 0.1
    uses_labels: ClassVar[bool] = True


class BYOLSettings(MomentumSettings):
    """BYOL's projector and predictor."""

    hidden_dim: Positive = 4096  # of both
    output_dim: Positive = 256
    normalise_projections: bool = False  # the predictor takes unit vectors (the study's equation 7)


class DINOSettings(MomentumSettings):
    """DINO's head, crops and temperatures."""

    layers: Positive = 3
    hidden_dim: Positive = 2048
    bottleneck_dim: OptionalPositive = 256  # before weight-normalised prototypes; "none": the
    #                                         last layer is a plain one, as the study writes it
    output_dim: Positive = 4096  # prototypes; 65,536 are for a million images
    freeze_epochs: Amount = 1.0  # in which the prototypes do not learn
    student_temperature: Rate = 0.1
    teacher_temperature: Rate = 0.04  # lower it if the teacher's answers grow uniform
    teacher_warmup_temperature: Rate = 0.04
    warmup_epochs: Amount = 0.0  # from the one to the other; all epochs, if there are fewer
    centre_momentum: Probability = 0.9  # 1 never moves the centre: the teacher then collapses
    local_crops: Count = 6
    local_area: Area = (0.2, 0.5)  # shares of the image; below 0.2 many crops miss the lesion
    local_scale: Share = 0.43  # side of a local crop over that of an image; 96 of 224


class MoCoV3Settings(MomentumSettings):
    """MoCo v3's heads and loss; the defaults are the original's for a ResNet."""

    projector_layers: Positive = 2  # the study's has 3
    projector_norm: bool = True  # BatchNorm after the last layer too, without scale and shift
    hidden_dim: Positive = 4096
    output_dim: Positive = 256
    predictor: bool = True  # the study does not mention one
    symmetric: bool = True  # both views are query and key; the study's equation has one direction
    scaled: bool = True  # the loss is multiplied by 2τ, which matters only where gradients are
    #                      clipped or the optimiser is not Adam
    temperature: Rate = 0.2
    freeze_patches: bool = True  # a transformer's patch projection stays random, which steadies the
    #                              training; of a CNN it changes nothing


class BarlowTwinsSettings(MethodSettings):
    """Barlow Twins' projector and loss."""

    hidden_dim: Positive = 2048
    output_dim: Positive = 2048  # wide: the original gains up to 8,192
    redundancy: Rate = 0.005  # λ: weight of the correlations between dimensions


class NNCLRSettings(MethodSettings):
    """NNCLR's heads, loss and support set."""

    hidden_dim: Positive = 2048
    output_dim: Positive = 256
    temperature: Rate = 0.1
    support: Positive = 1024  # projections kept; well below the number of images, or a neighbour
    #                           is the same image of an epoch ago
