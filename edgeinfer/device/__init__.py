"""The device that an app opens: where models, flags, updates and rollouts meet."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.device.device import Device
    from edgeinfer.device.predictor import DevicePredictor
    from edgeinfer.device.settings import DeviceSettings
    from edgeinfer.device.status import DeviceStatus, ModelStatus
    from edgeinfer.device.updating import UpdateReport

__getattr__ = lazily(
    __name__,
    {
        "Device": "device",
        "DevicePredictor": "predictor",
        "DeviceSettings": "settings",
        "DeviceStatus": "status",
        "ModelStatus": "status",
        "UpdateReport": "updating",
    },
)

__all__ = ["Device", "DevicePredictor", "DeviceSettings", "DeviceStatus", "ModelStatus", "UpdateReport"]
