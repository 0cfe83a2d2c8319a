"""The client of the Open Inference Protocol, version 2: Triton, KServe, MLServer and others."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.cloud.asking import Call, CloudHealth, Journal
    from edgeinfer.cloud.client import Answered, Known, V2Client
    from edgeinfer.cloud.endpoint import Endpoint
    from edgeinfer.cloud.metadata import Abilities, ModelInfo, ServerInfo, TensorInfo
    from edgeinfer.cloud.tensors import DATATYPES, Datatype, Tensor

__getattr__ = lazily(
    __name__,
    {
        "Abilities": "metadata",
        "Answered": "client",
        "Call": "asking",
        "CloudHealth": "asking",
        "DATATYPES": "tensors",
        "Datatype": "tensors",
        "Endpoint": "endpoint",
        "Journal": "asking",
        "Known": "client",
        "ModelInfo": "metadata",
        "ServerInfo": "metadata",
        "Tensor": "tensors",
        "TensorInfo": "metadata",
        "V2Client": "client",
    },
)

__all__ = [
    "DATATYPES",
    "Abilities",
    "Answered",
    "Call",
    "CloudHealth",
    "Datatype",
    "Endpoint",
    "Journal",
    "Known",
    "ModelInfo",
    "ServerInfo",
    "Tensor",
    "TensorInfo",
    "V2Client",
]
