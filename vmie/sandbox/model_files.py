"""Data files of the SDK and of moto, read once and when needed: parsing them all takes a second of each start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from botocore.loaders import JSONFileLoader, Loader
from moto.utilities import utils as moto_files

from vmie.sandbox.patching import Patcher

_OFFERINGS = "ec2/resources/instance_type_offerings"
_load = moto_files.load_resource
_read = cache(JSONFileLoader().load_file)


class ParsedOnce(JSONFileLoader):
    """Loaders keep what they return and do not change it, so that moto and all sessions can share it.

    All but S3's, whose clients cut the bucket out of the model's paths (botocore.handlers): moto routes by them.
    """

    def load_file(self, file_path: str) -> Any:
        """The model in `file_path` (a path without its suffix), None when there is none."""
        if "/s3/" in file_path.replace("\\", "/"):
            return super().load_file(file_path)
        return _read(file_path) if self.exists(file_path) else None


class Offerings(dict[str, Any]):
    """moto's offerings of one location type: Region → the instance types there, read when asked for."""

    def __init__(self, location: str, regions: dict[str, Any]) -> None:
        super().__init__(regions)
        self._location = location

    def __getitem__(self, region: str) -> Any:
        found = super().__getitem__(region)
        if not found:
            found = _load(f"{_OFFERINGS}/{self._location}/{region}.json")
            for offering in found:
                offering["LocationType"] = self._location
            self[region] = found
        return found

    def get(self, region: str, default: Any = None) -> Any:
        """As of any mapping."""
        return self[region] if region in self else default  # noqa: SIM401 - this is that method


def share_models(patcher: Patcher) -> None:
    """For the sessions made from now on."""
    patcher.attribute(Loader, "FILE_LOADER_CLASS", ParsedOnce)


def import_with(patcher: Patcher, load: Callable[[], Any]) -> Any:
    """What `load`, which imports moto, returns."""
    share_models(patcher)
    if "moto.ec2.models.instance_types" in sys.modules:
        return load()
    patcher.attribute(moto_files, "load_resource", lambda path: [] if path.startswith(_OFFERINGS) else _load(path))
    module = load()
    types: Any = sys.modules.get("moto.ec2.models.instance_types")
    if types:
        for location, regions in types.INSTANCE_TYPE_OFFERINGS.items():
            types.INSTANCE_TYPE_OFFERINGS[location] = Offerings(location, regions)
    return module
