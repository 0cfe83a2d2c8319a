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
    from edgeinfer.bundle import (
        Bundle,
        Manifest,
        open_bundle,
    )
    from edgeinfer.cloud import (
        Endpoint,
    )
    from edgeinfer.errors import (
        BadResponseError,
        BundleError,
        CircuitOpenError,
        CloudAnswerError,
        CloudElsewhereError,
        CloudError,
        CloudFailedError,
        CloudRefusedError,
        CloudRequestError,
        ConnectionLostError,
        ConversionError,
        DataError,
        DeadlineError,
        DecodeError,
        DigestError,
        EdgeInferError,
        EngineError,
        EngineRunError,
        EngineUnavailable,
        FlagError,
        GateError,
        InputError,
        ManifestError,
        ModelLoadError,
        NameNotFoundError,
        NetworkError,
        NetworkTimeoutError,
        NoAnswerError,
        NoVariantError,
        OverloadError,
        PolicyError,
        RecipeError,
        SelfTestError,
        StoreError,
        TlsError,
        UnreachableError,
    )
    from edgeinfer.fallback import (
        CacheLimits,
        Decided,
        Deferred,
        Policy,
        Predictor,
        QueueLimits,
        RemotePolicy,
        Route,
        load_policy,
    )
    from edgeinfer.flags import (
        FileSource,
        Flag,
        FlagDetails,
        Flags,
    )
    from edgeinfer.inference import (
        Alarm,
        Attempt,
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
    from edgeinfer.privacy import (
        Consents,
        EgressRecord,
    )
    from edgeinfer.store import (
        Home,
    )

_HOMES = {
    "edgeinfer.bundle": (
        "Bundle",
        "Manifest",
        "open_bundle",
    ),
    "edgeinfer.cloud": ("Endpoint",),
    "edgeinfer.errors": (
        "BadResponseError",
        "BundleError",
        "CircuitOpenError",
        "CloudAnswerError",
        "CloudElsewhereError",
        "CloudError",
        "CloudFailedError",
        "CloudRefusedError",
        "CloudRequestError",
        "ConnectionLostError",
        "ConversionError",
        "DataError",
        "DeadlineError",
        "DecodeError",
        "DigestError",
        "EdgeInferError",
        "EngineError",
        "EngineRunError",
        "EngineUnavailable",
        "FlagError",
        "GateError",
        "InputError",
        "ManifestError",
        "ModelLoadError",
        "NameNotFoundError",
        "NetworkError",
        "NetworkTimeoutError",
        "NoAnswerError",
        "NoVariantError",
        "OverloadError",
        "PolicyError",
        "RecipeError",
        "SelfTestError",
        "StoreError",
        "TlsError",
        "UnreachableError",
    ),
    "edgeinfer.fallback": (
        "CacheLimits",
        "Decided",
        "Deferred",
        "Policy",
        "Predictor",
        "QueueLimits",
        "RemotePolicy",
        "Route",
        "load_policy",
    ),
    "edgeinfer.flags": ("FileSource", "Flag", "FlagDetails", "Flags"),
    "edgeinfer.inference": (
        "Alarm",
        "Attempt",
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
    "edgeinfer.privacy": (
        "Consents",
        "EgressRecord",
    ),
    "edgeinfer.store": ("Home",),
}

__all__ = [
    "Alarm",
    "Attempt",
    "BadResponseError",
    "Bundle",
    "BundleError",
    "CacheLimits",
    "Candidate",
    "CircuitOpenError",
    "CloudAnswerError",
    "CloudElsewhereError",
    "CloudError",
    "CloudFailedError",
    "CloudRefusedError",
    "CloudRequestError",
    "ConnectionLostError",
    "Consents",
    "ConversionError",
    "DataError",
    "DeadlineError",
    "Decided",
    "DecodeError",
    "Deferred",
    "Detection",
    "DigestError",
    "EdgeInferError",
    "EgressRecord",
    "Endpoint",
    "EngineError",
    "EngineRunError",
    "EngineUnavailable",
    "Ensemble",
    "FileSource",
    "Flag",
    "FlagDetails",
    "FlagError",
    "Flags",
    "GateError",
    "Health",
    "Heard",
    "Home",
    "InputError",
    "LabelScore",
    "LatestFrames",
    "Manifest",
    "ManifestError",
    "Model",
    "ModelLoadError",
    "NameNotFoundError",
    "NetworkError",
    "NetworkTimeoutError",
    "NoAnswerError",
    "NoVariantError",
    "OverloadError",
    "Policy",
    "PolicyError",
    "Prediction",
    "Predictor",
    "QueueLimits",
    "RecipeError",
    "RemotePolicy",
    "Route",
    "Selection",
    "SelfTestError",
    "Shedding",
    "StoreError",
    "Timings",
    "TlsError",
    "Traffic",
    "UnreachableError",
    "Wishes",
    "configure",
    "listen",
    "load",
    "load_policy",
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
