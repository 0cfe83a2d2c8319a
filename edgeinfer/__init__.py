"""Run small verified models inside an app.

    import edgeinfer as ei

    model = ei.load("digits.eib")
    prediction = model.predict("seven.png")
    print(prediction.label, prediction.confidence, prediction.source, prediction.latency_ms)

Importing this package loads nothing else: numpy, Pillow and the inference engines are imported
when they are first used.
"""

from edgeinfer.version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgeinfer.bundle import Bundle, Manifest, open_bundle
    from edgeinfer.errors import (
        BundleError,
        ConversionError,
        DataError,
        DeadlineError,
        DecodeError,
        DigestError,
        EdgeInferError,
        EngineError,
        EngineRunError,
        EngineUnavailable,
        GateError,
        InputError,
        ManifestError,
        ModelLoadError,
        NoVariantError,
        OverloadError,
        RecipeError,
        SelfTestError,
    )
    from edgeinfer.inference import (
        Alarm,
        Candidate,
        Detection,
        Ensemble,
        Health,
        Heard,
        LabelScore,
        LatestFrames,
        Model,
        Prediction,
        Selection,
        Shedding,
        Timings,
        Traffic,
        Wishes,
        configure,
        listen,
        load,
    )

_HOMES = {
    "edgeinfer.bundle": ("Bundle", "Manifest", "open_bundle"),
    "edgeinfer.errors": (
        "BundleError",
        "ConversionError",
        "DataError",
        "DeadlineError",
        "DecodeError",
        "DigestError",
        "EdgeInferError",
        "EngineError",
        "EngineRunError",
        "EngineUnavailable",
        "GateError",
        "InputError",
        "ManifestError",
        "ModelLoadError",
        "NoVariantError",
        "OverloadError",
        "RecipeError",
        "SelfTestError",
    ),
    "edgeinfer.inference": (
        "Alarm",
        "Candidate",
        "Detection",
        "Ensemble",
        "Health",
        "Heard",
        "LabelScore",
        "LatestFrames",
        "Model",
        "Prediction",
        "Selection",
        "Shedding",
        "Timings",
        "Traffic",
        "Wishes",
        "configure",
        "listen",
        "load",
    ),
}

__all__ = [
    "Alarm",
    "Bundle",
    "BundleError",
    "Candidate",
    "ConversionError",
    "DataError",
    "DeadlineError",
    "DecodeError",
    "Detection",
    "DigestError",
    "EdgeInferError",
    "EngineError",
    "EngineRunError",
    "EngineUnavailable",
    "Ensemble",
    "GateError",
    "Health",
    "Heard",
    "InputError",
    "LabelScore",
    "LatestFrames",
    "Manifest",
    "ManifestError",
    "Model",
    "ModelLoadError",
    "NoVariantError",
    "OverloadError",
    "Prediction",
    "RecipeError",
    "Selection",
    "SelfTestError",
    "Shedding",
    "Timings",
    "Traffic",
    "Wishes",
    "configure",
    "listen",
    "load",
    "open_bundle",
]


def __getattr__(name: str) -> object:
    from edgeinfer.importing import imported

    for home, names in _HOMES.items():
        if name in names:
            value: object = getattr(imported(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'edgeinfer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
