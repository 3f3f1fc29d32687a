"""The sections of the settings: a typed field for each value, its unit and when to change it."""

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from brainssl.settings.starts import known_weights


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("the lower end of a range comes first")
    return ends


def _none(value: object) -> object:
    return None if value == "none" else value  # TOML has no null: the word stands for it


Positive = Annotated[int, Field(ge=1)]
BatchSize = Annotated[int, Field(ge=2)]  # one image has nothing to be normalised by or told from
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
STRONGEST = 4.0  # beyond, views have little of their image left
MOST_TEST_VIEWS = 10  # brainssl.views.fixed has no more
Strength = Annotated[float, Field(ge=0, le=STRONGEST)]
Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
PrecisionName = Literal["bf16-mixed", "16-mixed", "32-true"]
_FROM_LIST = Field(strict=False)  # TOML and JSON have no tuples; the numbers stay strict
Range = Annotated[tuple[Rate, Rate], _FROM_LIST, AfterValidator(_ascending)]
Area = Annotated[tuple[Rate, Probability], _FROM_LIST, AfterValidator(_ascending)]
OptionalRate = Annotated[Rate | None, BeforeValidator(_none)]
OptionalProbability = Annotated[Probability | None, BeforeValidator(_none)]
ClassWeights = Annotated[Literal["inverse", "effective"] | None, BeforeValidator(_none)]
OptionalShare = Annotated[Annotated[float, Field(gt=0, le=1)] | None, BeforeValidator(_none)]
OptionalPositive = Annotated[Positive | None, BeforeValidator(_none)]


class Section(BaseModel):
    """A group of settings; unknown names and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class EncoderSettings(Section):
    """The network that is pretrained and then classifies."""

    name: str = "resnet18"  # any network of timm; resnet50 in the study
    image_size: Annotated[int, Field(ge=16, le=1024)] = 64  # pixels; small lesions need more; of a
    #                                                         transformer a multiple of its patches
    pool: Literal["auto", "avg", "token"] = "auto"  # auto: as timm has it for the architecture
    weights: Annotated[str, AfterValidator(known_weights)] = "random"  # of the baseline too
    mean: OptionalProbability = None  # of the images that the weights know; "none": as they say
    std: OptionalShare = None  # their deviation, likewise


class SplitSettings(Section):
    """How the images are divided; the rest is for training."""

    val_fraction: Share = 0.1  # raise both when classes have few groups
    test_fraction: Share = 0.1


class ViewSettings(Section):
    """The views of pretraining; see brainssl.views for what each value means."""

    crop_area: Area = (0.3, 1.0)
    crop_ratio: Range = (0.75, 1.333)
    rotation: Amount = 10.0  # degrees
    flip: Probability = 0.5
    brightness: Range = (0.8, 1.2)  # narrow: the sequence is part of the label
    contrast: Range = (0.8, 1.2)
    gamma: Range = (0.8, 1.25)
    jitter: Probability = 0.8
    blur: Probability = 0.3
    blur_sigma: Range = (0.1, 2.0)  # pixels at 224 px
    bias: Probability = 0.0  # deviation of the log of a smooth field; 0.1 where coils differ
    noise: Amount = 0.02
    strength: Strength = 1.0  # how far views differ from the image: 2 is twice as far as all above


class PretrainSettings(Section):
    """Self-supervised pretraining with AdamW and a cosine schedule."""

    epochs: Positive = 40
    batch_size: BatchSize = 64  # images; a contrastive loss sees twice as many views
    learning_rate: Rate = 1e-3  # absolute: never rescaled by the batch size
    weight_decay: Amount = 1e-4  # not on biases and normalisation
    warmup_epochs: Amount = 2.0
    clip_norm: OptionalRate = 1.0  # of the whole gradient; "none": no clipping
    one_per_group: bool = False  # no two slices of a group in a batch: they would be negatives
    positives: Literal["image", "patient", "group"] = "image"  # whose slice the second view shows:
    #                           the same, or another one of its patient or group, and of its
    #                           sequence where that is told apart from the label
    watch_images: Annotated[int, Field(ge=2)] = 256  # that the collapse sentinel looks at, each
    #                                                  epoch; one has no other to differ from


class ProbeSettings(Section):
    """Linear probe on features that are computed once."""

    solver: Literal["lbfgs", "adamw"] = "lbfgs"  # lbfgs finds the optimum and needs no rates: what
    #                                              follows `standardise` is for adamw, the study's
    standardise: bool = True  # every feature has mean 0 and deviation 1 over the training images
    epochs: Positive = 50
    batch_size: Positive = 32
    learning_rate: Rate = 1e-3
    weight_decay: Amount = 1e-6
    patience: Positive = 10  # epochs without a better validation loss
    smoothing: Positive = 3  # epochs at whose ends the head is averaged, before it is judged


class FinetuneSettings(Section):
    """Fine-tuning, and the supervised baseline where it has no value of its own."""

    epochs: Positive = 30
    min_epoch_steps: Count = 0  # an epoch goes through few labels as often as it takes to make
    #                             this many steps
    batch_size: BatchSize = 32
    learning_rate: Rate = 1e-3  # of the encoder
    head_factor: Rate = 10.0  # the new classifier learns this many times faster
    weight_decay: Amount = 1e-4
    warmup_epochs: Amount = 1.0
    clip_norm: OptionalRate = 1.0
    patience: Positive = 10  # epochs without a better validation loss
    smoothing: Positive = 3  # epochs at whose ends weights are averaged, before they are judged
    sampling: Literal["natural", "balanced"] = "natural"  # balanced: every class equally often
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: Amount = 2.0  # how much less an image counts that is classified well already
    augmentation: Strength = 1.0  # how far training images differ from those stored; 0: flips alone
    views: Literal["table2", "pretraining"] = (
        "table2"  # which augmentation: the study's, or [views]
    )
    head_start: Literal["random", "probe"] = "random"  # probe: the head begins as the linear probe
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # factor on the rate with each layer
    #                                                         away from the head
    freeze_batchnorm: bool = False  # normalise by the statistics that the encoder came with
    average_half_life: Amount = 0.0  # epochs in which the average of weights that is judged and
    #                                  kept forgets half; 0: `smoothing` decides
    mixup: Amount = 0.0  # α of Beta(α, α); 0: images are not mixed
    cutmix: Amount = 0.0  # α of Beta(α, α); 0: no part of another image is put in
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of a label that all share
    class_weights: ClassWeights = None  # in the loss; "none": every image counts the same
    test_views: Annotated[int, Field(ge=1, le=MOST_TEST_VIEWS)] = 1  # of an image, over which
    #                                                                  predictions are averaged

    @model_validator(mode="after")
    def _refuse_what_makes_no_sense(self) -> Self:
        if self.loss == "focal" and self.label_smoothing > 0:
            raise ValueError(
                "the focal loss knows no smoothed labels: set label_smoothing to 0, or loss to "
                "cross_entropy"
            )
        if self.sampling == "balanced" and self.class_weights is not None:
            raise ValueError(
                "balanced sampling shows classes equally often already: set class_weights to none, "
                "or sampling to natural"
            )
        return self


class EvaluationSettings(Section):
    """Intervals."""

    draws: Positive = 2000  # bootstrap draws of groups


class RunSettings(Section):
    """Where and how to compute."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["auto"] | PrecisionName = "auto"  # what the machine has units for
    devices: Positive = 1  # GPUs, or processes on CPU, that share each batch of a pretraining
    step_cpus: Positive = 1  # of a cluster, for each step of a study: threads; more where steps
    #                          are few and images large
    step_gpus: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = "auto"  # share of a GPU;
    #                          auto: by what the encoder and its batches need, a quarter at least
    step_memory: Literal["auto"] | Rate = "auto"  # GB; auto: by the same, and the images
