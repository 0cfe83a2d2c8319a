"""How a device loads its models: with the app's options, those that serve and those that run beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeinfer.bundle import Manifest
from edgeinfer.device.fitting import fitting_variant
from edgeinfer.engines import ENGINE_NAMES, Engine, engine_named
from edgeinfer.host import available_bytes
from edgeinfer.inference import Health, Model, Wishes, load


class Loading:
    """Loads bundles.

    Args:
        options: Of `load`, as the app has them.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self.on_health: Callable[[Health], object] | None = self._options.pop("on_health", None)

    def serving(self, path: Path, variant: str, on_health: Callable[[Health], object]) -> Model:
        """Load what is to serve; raises as `load` does.

        Args:
            path: Where the bundle is opened.
            variant: The one whose blobs are there; empty where all are.
            on_health: What is told of its health.
        """
        return load(path, **{**self._options, **_of(variant), "on_health": on_health})

    def beside(self, path: Path, variant: str) -> Model:
        """Load what runs in the shadow: measured beside a model that serves, no figure is worth being remembered."""
        return load(path, **{**self._options, **_of(variant), "measure": False})

    def fitting(self, manifest: Manifest, like: Model | None) -> str:
        """Return the variant of a bundle to fetch.

        Args:
            manifest: The bundle's.
            like: The model that answers now, if one does.

        Raises:
            RequirementError: None can run here.
        """
        form = None
        if like is not None:
            chosen = like.selection.chosen.variant
            form = next((each.format, each.precision) for each in like.manifest.variants if each.id == chosen)
        wishes = self._options.get("wishes") or Wishes()
        return fitting_variant(manifest, self._engines(), wishes, available_bytes(), form)

    def _engines(self) -> list[Engine]:
        engine = self._options.get("engine")
        if engine is None:
            return [engine_named(name) for name in ENGINE_NAMES]
        return [engine_named(engine) if isinstance(engine, str) else engine]


def _of(variant: str) -> dict[str, Any]:
    return {"variant": variant} if variant else {}
