"""What an enhanced multi-frame MR image says of its frames (PS3.3 A.36, C.7.6.16, C.8.13)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from brainssl.simulation.archives import header
from brainssl.simulation.archives.study import Setting, Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STACK_ID, _IN_STACK = 0x00209056, 0x00209057
_FRAME_CONTENT = 0x00209111
_BRAIN = ("12738006", "SCT", "Brain")


def enhance(
    data: "Dataset", study: Study, setting: Setting, order: Int[np.ndarray, " frame"]
) -> None:
    """Adds the multi-frame modules to a header that has everything else.

    Args:
        data: Of `header.patient_and_study`, `header.series` and `header.pixels`.
        study: The patient and the scanner.
        setting: The series.
        order: Which slice is at each frame.
    """
    timing = setting.timing
    data.NumberOfFrames = str(len(order))
    data.ImageType = ["ORIGINAL", "PRIMARY", _contrast(setting), "NONE"]
    moment = data.ContentDate + data.ContentTime
    del data.AcquisitionDate, data.AcquisitionTime  # one date and time in their stead
    data.AcquisitionDateTime = moment
    data.AcquisitionDuration = timing.tr * setting.stack.size / 1000
    data.PixelPresentation = "MONOCHROME"
    data.VolumetricProperties = "VOLUME"
    data.VolumeBasedCalculationTechnique = "NONE"
    data.ComplexImageComponent = "MAGNITUDE"
    data.AcquisitionContrast = _contrast(setting)
    data.ContentQualification = "RESEARCH"
    data.BurnedInAnnotation = "NO"
    data.LossyImageCompression = "00"
    data.PresentationLUTShape = "IDENTITY"
    data.ResonantNucleus = "1H"
    data.KSpaceFiltering = "NONE"
    data.ApplicableSafetyStandardAgency = "IEC"
    data.AcquisitionContextSequence = []
    _pulse_sequence(data, setting)
    if timing.contrast and study.console.tells_agent:
        data.ContrastBolusAgentSequence = [_agent()]
    dimensions = header.unique(study, "dimensions", data.SeriesNumber)
    data.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=dimensions)]
    data.DimensionIndexSequence = [
        _item(
            DimensionOrganizationUID=dimensions,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=_FRAME_CONTENT,
        )
        for pointer in (_STACK_ID, _IN_STACK)
    ]
    data.SharedFunctionalGroupsSequence = [_shared(data, study, setting)]
    data.PerFrameFunctionalGroupsSequence = [_frame(setting, moment, int(n)) for n in order]


def _contrast(setting: Setting) -> str:
    """Defined term for what a sequence is weighted by."""
    weights = {"T1": "T1", "T1C+": "T1", "T2": "T2", "FLAIR": "FLUID_ATTENUATED"}
    return weights[setting.sequence]


def _pulse_sequence(data: "Dataset", setting: Setting) -> None:
    """Adds the MR Pulse Sequence module."""
    data.PulseSequenceName = "se2d" if setting.timing.ti is None else "ir2d"
    data.MRAcquisitionType = "2D"
    data.EchoPulseSequence = "SPIN"
    data.MultipleSpinEcho = "NO"
    data.MultiPlanarExcitation = "NO"
    data.PhaseContrast = "NO"
    data.TimeOfFlightContrast = "NO"
    data.SteadyStatePulseSequence = "NONE"
    data.EchoPlanarPulseSequence = "NO"
    data.SaturationRecovery = "NO"
    data.SpectrallySelectedSuppression = "NONE"
    data.GeometryOfKSpaceTraversal = "RECTILINEAR"
    data.RectilinearPhaseEncodeReordering = "LINEAR"
    data.SegmentedKSpaceTraversal = "SINGLE"
    data.OversamplingPhase = "NONE"
    data.NumberOfKSpaceTrajectories = 1


def _shared(data: "Dataset", study: Study, setting: Setting) -> "Dataset":
    """Functional groups that all frames share."""
    stack, timing = setting.stack, setting.timing
    value = _item()
    header.rescale(value, study)
    shown = _item()
    header.window(shown, setting)
    groups: dict[str, Dataset] = {
        "PixelMeasuresSequence": _item(
            PixelSpacing=[header.decimal(stack.pixel)] * 2,
            SliceThickness=header.decimal(stack.thickness),
            SpacingBetweenSlices=header.decimal(stack.spacing),
        ),
        "PlaneOrientationSequence": _item(ImageOrientationPatient=header.orientation(stack)),
        "FrameAnatomySequence": _item(FrameLaterality="U", AnatomicRegionSequence=[_code(*_BRAIN)]),
        "PixelValueTransformationSequence": value,
        "FrameVOILUTSequence": shown,
        "MRImageFrameTypeSequence": _item(
            FrameType=list(data.ImageType),
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            ComplexImageComponent="MAGNITUDE",
            AcquisitionContrast=_contrast(setting),
        ),
        "MRTimingAndRelatedParametersSequence": _timing(setting),
        "MRFOVGeometrySequence": _item(
            InPlanePhaseEncodingDirection="ROW",
            MRAcquisitionFrequencyEncodingSteps=stack.size,
            MRAcquisitionPhaseEncodingStepsInPlane=stack.size,
            PercentSampling="100",
            PercentPhaseFieldOfView="100",
        ),
        "MREchoSequence": _item(EffectiveEchoTime=timing.te),
        "MRModifierSequence": _modifier(setting),
        "MRImagingModifierSequence": _item(
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=header.HERTZ_PER_TESLA * study.scanner.field,
            PixelBandwidth="100",
        ),
        "MRReceiveCoilSequence": _item(
            ReceiveCoilName="HEAD",
            ReceiveCoilManufacturerName="",
            ReceiveCoilType="VOLUME",
            QuadratureReceiveCoil="YES",
        ),
        "MRTransmitCoilSequence": _item(
            TransmitCoilName="BODY", TransmitCoilManufacturerName="", TransmitCoilType="BODY"
        ),
        "MRAveragesSequence": _item(NumberOfAverages="1"),
    }
    if timing.contrast and study.console.tells_agent:
        groups["ContrastBolusUsageSequence"] = _item(
            ContrastBolusAgentNumber=1,
            ContrastBolusAgentAdministered="YES",
            ContrastBolusAgentDetected="YES",
        )
    return _item(**{name: [group] for name, group in groups.items()})


def _timing(setting: Setting) -> "Dataset":
    return _item(
        RepetitionTime=header.decimal(setting.timing.tr),
        FlipAngle="90",
        EchoTrainLength="1",
        RFEchoTrainLength=1,
        GradientEchoTrainLength=0,
        SpecificAbsorptionRateSequence=[
            _item(SpecificAbsorptionRateDefinition="IEC_HEAD", SpecificAbsorptionRateValue=1.0)
        ],
        GradientOutputType="DB_DT",
        GradientOutput=1.0,
        OperatingModeSequence=[
            _item(OperatingModeType=kind, OperatingMode="IEC_NORMAL")
            for kind in ("STATIC FIELD", "RF", "GRADIENT")
        ],
    )


def _modifier(setting: Setting) -> "Dataset":
    timing = setting.timing
    group = _item(
        InversionRecovery="NO" if timing.ti is None else "YES",
        FlowCompensation="NONE",
        Spoiling="NONE",
        T2Preparation="NO",
        SpectrallySelectedExcitation="NONE",
        SpatialPresaturation="NONE",
        PartialFourier="NO",
        ParallelAcquisition="NO",
    )
    if timing.ti is not None:
        group.InversionTimes = [timing.ti]
    return group


def _frame(setting: Setting, moment: str, number: int) -> "Dataset":
    """Functional groups of the frame that holds a slice."""
    content = _item(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime=moment,
        FrameAcquisitionDateTime=moment,
        FrameAcquisitionDuration=setting.timing.tr,
        StackID="1",
        InStackPositionNumber=number + 1,
        DimensionIndexValues=[1, number + 1],
    )
    place = _item(ImagePositionPatient=header.position(setting.stack, number))
    return _item(FrameContentSequence=[content], PlanePositionSequence=[place])


def _agent() -> "Dataset":
    agent = _code("418351005", "SCT", "Gadolinium-containing contrast agent, simulated")
    agent.ContrastBolusAgentNumber = 1
    agent.ContrastBolusAdministrationRouteSequence = [_code("47625008", "SCT", "Intravenous route")]
    agent.ContrastBolusIngredientCodeSequence = [_code("105879004", "SCT", "Gadolinium")]
    agent.ContrastBolusVolume = "10"
    agent.ContrastBolusIngredientConcentration = "1"
    agent.ContrastBolusIngredientOpaque = "YES"
    return agent


def _code(value: str, scheme: str, meaning: str) -> "Dataset":
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _item(**attributes: Any) -> "Dataset":
    from pydicom.dataset import Dataset

    made = Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made
