"""The settings: every value that decides a result, but for the data and the seeds."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from brainssl.settings.methods import (
    STAGES,
    BarlowTwinsSettings,
    BYOLSettings,
    DINOSettings,
    FixMatchSettings,
    MethodSettings,
    MoCoV3Settings,
    NNCLRSettings,
    SimCLRSettings,
    SupConSettings,
    SupervisedSettings,
)
from brainssl.settings.sections import (
    EncoderSettings,
    EvaluationSettings,
    FinetuneSettings,
    PretrainSettings,
    ProbeSettings,
    RunSettings,
    Section,
    SplitSettings,
    ViewSettings,
)


class Settings(Section):
    """All sections.

    That of a method has its heads, its loss and what it changes in the sections views, pretrain,
    probe and finetune; that of the supervised baseline what it changes in finetune; that of
    FixMatch its loss and what it changes in views and finetune.
    """

    simclr: SimCLRSettings = SimCLRSettings()
    byol: BYOLSettings = BYOLSettings()
    dino: DINOSettings = DINOSettings()
    mocov3: MoCoV3Settings = MoCoV3Settings()
    barlowtwins: BarlowTwinsSettings = BarlowTwinsSettings()
    nnclr: NNCLRSettings = NNCLRSettings()
    supcon: SupConSettings = SupConSettings()
    supervised: SupervisedSettings = SupervisedSettings()
    fixmatch: FixMatchSettings = FixMatchSettings()
    encoder: EncoderSettings = EncoderSettings()
    split: SplitSettings = SplitSettings()
    views: ViewSettings = ViewSettings()
    pretrain: PretrainSettings = PretrainSettings()
    probe: ProbeSettings = ProbeSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    run: RunSettings = RunSettings()

    def of(self, method: str) -> "Settings":
        """Return the settings as they hold for one method, or for `supervised`.

        For other names, these settings.
        """
        own = getattr(self, method, None)
        return self._with(**{stage: getattr(own, stage) for stage in OWN_STAGES.get(method, ())})

    def section(self, method: str) -> MethodSettings:
        """Return the section of a method."""
        section: MethodSettings = getattr(self, method)
        return section

    def with_image_size(self, size: int) -> "Settings":
        """Return the same settings for images of another side, in pixels."""
        return self.with_encoder(self.encoder.name, size, self.encoder.pool)

    def with_encoder(self, name: str, image_size: int, pool: str = "auto") -> "Settings":
        """Return the same settings for another encoder and images of its side, in pixels."""
        changed = {"name": name, "image_size": image_size, "pool": pool}
        encoder = self.encoder.model_copy(update=changed)
        return self._with(encoder=encoder)

    def with_weights(self, weights: str) -> "Settings":
        """Return the same settings for encoders that begin with other weights."""
        return self._with(encoder=self.encoder.model_copy(update={"weights": weights}))

    def with_epochs(self, epochs: int) -> "Settings":
        """Return the same settings with so many epochs of fine-tuning, at most."""
        return self._with(finetune=self.finetune.model_copy(update={"epochs": epochs}))

    def _with(self, **sections: Section) -> "Settings":
        changed: Settings = self.model_copy(update=sections)
        return changed

    def written(self, methods: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """Return the settings for JSON: of a method's stages only what differs from the rest.

        Args:
            methods: whose sections are wanted, `supervised` among them; None: of all.
        """
        dumped: dict[str, dict[str, Any]] = self.model_dump(mode="json")
        for name, stages in OWN_STAGES.items():
            own = dumped.pop(name)
            for stage in stages:
                values = own.pop(stage)
                changed = {k: v for k, v in values.items() if v != dumped[stage][k]}
                own |= {stage: changed} if changed else {}
            if methods is None or name in methods:
                dumped[name] = own
        return dumped


METHOD_NAMES = tuple(
    name
    for name, field in Settings.model_fields.items()
    if isinstance(field.default, MethodSettings)
)

LABELLED_METHODS = frozenset(
    name for name in METHOD_NAMES if Settings.model_fields[name].default.uses_labels
)
"""Methods that learn from labels: one pretraining of theirs is of one label fraction."""

SEMI_SUPERVISED = ("fixmatch",)
"""Methods without a pretraining: one training, with labels and with images that bear none."""

OWN_STAGES = {
    **dict.fromkeys(METHOD_NAMES, STAGES),
    "supervised": ("finetune",),
    **dict.fromkeys(SEMI_SUPERVISED, ("views", "finetune")),
}
"""Sections that change stages: those of methods and of the supervised baseline, and which."""


def flat(tables: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables, each with its key as in `pretrain.epochs`.

    Args:
        tables: such as `Settings.written`.
        above: put before every key.
    """
    for name, value in tables.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
