"""The device that an app opens: models that answer from the first start on, and stay up to date by themselves.

Invariants:
* `model` gives something that answers as long as one verified bundle is there, whatever is wrong with home, network,
  clock or server;
* nothing is asked of a server without a URL, or `offline`; what is asked says nothing of its user;
* an update leaves what runs as it is until all of what is new is here, verified and tested.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from edgeinfer.bundle import Manifest
from edgeinfer.device.beside import Beside, ShadowMeans
from edgeinfer.device.exposing import Exposing
from edgeinfer.device.furnishing import furnish, root_bytes
from edgeinfer.device.loading import Loading
from edgeinfer.device.polling import Polling
from edgeinfer.device.predictor import DevicePredictor, Making
from edgeinfer.device.settings import DeviceSettings
from edgeinfer.device.status import DeviceStatus, ModelStatus
from edgeinfer.device.updating import UpdateReport, Updating
from edgeinfer.device.versions import Versions
from edgeinfer.errors import EdgeInferError, PolicyError, StoreError
from edgeinfer.fallback import Predictor
from edgeinfer.flags import Flags
from edgeinfer.host import Clock, Surroundings, SystemClock, surroundings_now
from edgeinfer.inference import Model
from edgeinfer.net import Transport
from edgeinfer.updates import Means, Server, Slot, checked_family

PathLike = str | os.PathLike[str]


class Device:
    """The models and flags of an app on this device; safe to share between threads.

    Attributes:
        flags: The app's feature flags, signed by the same publisher.
        settings: What the app decided.

    Args:
        home: The folder for all that is kept; the platform's folder for data otherwise.
        url: Where signed updates lie, as `edgeinfer repo` makes them; without one there are none.
        root: The first root metadata (`1.root.json`), as bytes or a path; what all trust begins with.
        bundled: The bundles that come with the app: a path, whose family is its name without what follows the dot, or
            paths by family.
        context: Attributes of this device that rules of flags may ask for.
        default_flags: The document of flags that comes with the app.
        settings: What the app decides.
        surroundings: Tells of network and power, where the app knows better than Linux.
        transport: What carries requests; httpx2 otherwise.
        clock: The time.

    Raises:
        PolicyError: There is a URL without a root, or the root cannot be read.
        FlagError: The document of flags is none, or the context has values that JSON does not have.
    """

    def __init__(  # noqa: PLR0913 - each is a choice that an app may want to make alone
        self,
        home: PathLike | None = None,
        url: str | None = None,
        root: PathLike | bytes | None = None,
        bundled: PathLike | Mapping[str, PathLike] | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        default_flags: bytes | None = None,
        settings: DeviceSettings | None = None,
        surroundings: Callable[[], Surroundings] = surroundings_now,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or DeviceSettings()
        self._clock: Clock = clock or SystemClock()
        self._surroundings, self._loading = surroundings, Loading(self.settings.load)
        self._bundled = _by_family(bundled)
        server = None if url is None else Server(url, root_bytes(root))
        self._furniture = furnish(home, server, self._clock)
        attributes = {"targetingKey": self._furniture.key, **(context or {})}
        self.flags = Flags(attributes, bundled=default_flags, home=self._furniture.home, clock=self._clock)
        self._versions: dict[str, Versions] = {}
        self._predictors: dict[str, DevicePredictor] = {}
        self._shadows: dict[str, Beside] = {}
        self._lock, self._updates = threading.RLock(), threading.Lock()
        self._checked_at: float | None = None
        self._problem, self._refused = "", dict[str, str]()
        self._updating: Updating | None = None
        self._transport = transport
        self._server = server
        self._polling: Polling | None = None
        if server is not None and self.settings.background and not self.settings.offline:
            self._polling = Polling(self._update_quietly, self.settings.every_s)

    def model(self, family: str) -> DevicePredictor:
        """Return what answers for a family of models: the same object each time.

        Raises:
            BundleError: No version of it is here and answers.
            UpdateError: The name of the family is none.
        """
        with self._lock:
            if family not in self._predictors:
                making = Making(self._predictor, self.settings.good_answers, self._loading.on_health)
                exposing = Exposing(family, self.flags, self._furniture.exposures)
                beside = self._beside(family)
                self._predictors[family] = DevicePredictor(self._family(family), making, exposing, beside)
                self._shadows[family] = beside
            return self._predictors[family]

    def update(self) -> UpdateReport:
        """Look at what was published now, fetch what is for this device, and let it answer.

        Raises:
            PolicyError: There is no server, or the device is offline.
            UpdateError: What came must not be trusted, is over, or another process updates this home.
            NetworkError: There was no whole answer.
            StoreError: It cannot be kept.
        """
        if self._server is None or self.settings.offline:
            raise PolicyError("this device asks no server", found="offline" if self._server else "no url")
        with self._updates:
            try:
                report = self._assembled().run(self._families(), activate=self.settings.activate)
            except EdgeInferError as error:
                self._problem = str(error)
                raise
            self._problem, self._refused = "", dict(report.refused)
            self._checked_at = self._clock.monotonic()
            for predictor in () if self.settings.stay_put else list(self._predictors.values()):
                predictor.renew()
            return report

    def status(self) -> DeviceStatus:
        """Return how it stands."""
        document = self.flags.document
        checked = self._checked_at
        return DeviceStatus(
            models={family: self._status(family, each) for family, each in list(self._predictors.items())},
            flags=0 if document is None else document.version,
            checked_s=None if checked is None else self._clock.monotonic() - checked,
            problem=self._problem,
            home=self._furniture.problem,
        )

    def shadow(self, family: str) -> Beside | None:
        """Return what runs beside a family's model; None before `model` was called."""
        return self._shadows.get(family)

    def close(self) -> None:
        """End what goes on in the background, and give back what is held."""
        if self._polling is not None:
            self._polling.end()
        for predictor in list(self._predictors.values()):
            predictor.close()
        self._furniture.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _family(self, family: str) -> Versions:
        with self._lock:
            if family not in self._versions:
                self._versions[family] = Versions(
                    checked_family(family),
                    self._bundled.get(family),
                    self._furniture.shelf,
                    self._loading.serving,
                )
            return self._versions[family]

    def _families(self) -> dict[str, Versions]:
        """Return the families that follow what is published: those that came with the app or were asked for."""
        if self.settings.stay_put:
            return {}
        return {family: self._family(family) for family in {**self._bundled, **self._versions}}

    def _predictor(self, model: Model) -> Predictor:
        options = dict(self.settings.predictor)
        if self._furniture.home is not None:
            options.setdefault("home", self._furniture.home)
        return Predictor(model, **options, surroundings=self._surroundings, clock=self._clock)

    def _beside(self, family: str) -> Beside:
        store, home = self._furniture.shelf.store, self._furniture.home

        def loaded(slot: Slot) -> Model:
            return self._loading.beside(store.path(slot.digest), slot.variant)

        means = ShadowMeans(loaded, self.settings.shadow, home, self._surroundings)
        return Beside(self._family(family), self.flags, means)

    def _assembled(self) -> Updating:
        """Return what updates; made with the first update, since it imports TUF and cryptography."""
        if self._updating is None:
            from edgeinfer.device.assembling import assembled

            assert self._server is not None, "looked at before"
            home = self._furniture.home
            if home is None:
                raise StoreError(
                    "updates need a home that can be written",
                    found=self._furniture.problem,
                    next_step="free space, or choose another folder; what runs goes on",
                )
            means = Means(self._fitting, self._surroundings, self.settings.conditions)
            self._updating = assembled(
                self._furniture, home, self._server, self.flags, means, self._transport
            )
        return self._updating

    def _fitting(self, family: str, manifest: Manifest) -> str:
        serving = self._predictors.get(family)
        return self._loading.fitting(manifest, None if serving is None else serving.model)

    def _update_quietly(self) -> None:
        try:
            self.update()
        except EdgeInferError:
            pass  # told by `status`
        except Exception as error:  # a thread that ends here would never look again
            self._problem = f"{type(error).__name__}: {error}"

    def _status(self, family: str, predictor: DevicePredictor) -> ModelStatus:
        slots, slot = self._family(family).slots, predictor.slot
        names = {slots.trial: "trial", slots.previous: "previous", slots.current: "current", None: "bundled"}
        model = predictor.model
        where = names.get(slot, "current")
        return ModelStatus(model.digest, model.manifest.version, where, self._refused.get(family, ""))


def _by_family(bundled: PathLike | Mapping[str, PathLike] | None) -> dict[str, Path]:
    """Return the paths of bundles by family: of a single one, its name without what follows the dot."""
    if bundled is None:
        return {}
    if isinstance(bundled, Mapping):
        return {checked_family(family): Path(path) for family, path in bundled.items()}
    return {checked_family(Path(bundled).name.partition(".")[0]): Path(bundled)}
