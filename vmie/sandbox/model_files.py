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


_list_services = Loader.list_available_services


class ParsedOnce(JSONFileLoader):
    """Loaders keep what they return and do not change it, so that moto and all sessions can share it.

    All but S3's: its clients cut the bucket out of the paths (botocore.handlers), which moto routes by, and moto adds
    what clients do not know. A copy of it takes a fifth of the time that reading it does.
    """

    def load_file(self, file_path: str) -> Any:
        """The model in `file_path` (a path without its suffix), None when there is none."""
        found = _read(file_path) if self.exists(file_path) else None
        if found and "operations" in found and "/s3/" in file_path.replace("\\", "/"):
            return _copied(found)
        return found


def _copied(value: Any) -> Any:
    return {name: _copied(one) for name, one in value.items()} if isinstance(value, dict) else value


@cache
def _services(kind: str, folders: tuple[str, ...]) -> list[str]:
    """The services that have a file of `kind` in `folders`: hundreds of folders to look into."""
    return list(_list_services(Loader(list(folders), include_default_search_paths=False), kind))


def list_services(loader: Loader, type_name: str) -> list[str]:
    """In place of `Loader.list_available_services`: looked for once."""
    return _services(type_name, tuple(loader.search_paths))


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
    patcher.attribute(Loader, "list_available_services", list_services)


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
