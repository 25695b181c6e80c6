"""Flags over environment over file over default, frozen.

The file is ``settings.toml`` in the user's configuration folder (``VMIE_CONFIG`` names another).
Every value remembers where it came from, so that the output can say it.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vmie.errors import UsageError

#: environment variable of each field; profile, region and endpoint are left to boto's own variables too
ENVIRONMENT = {
    "bucket": "VMIE_BUCKET",
    "export_bucket": "VMIE_EXPORT_BUCKET",
    "prefix": "VMIE_PREFIX",
    "export_prefix": "VMIE_EXPORT_PREFIX",
    "role_name": "VMIE_ROLE_NAME",
    "region": "VMIE_REGION",
    "profile": "VMIE_PROFILE",
    "endpoint_url": "VMIE_ENDPOINT_URL",
    "poll_seconds": "VMIE_POLL_SECONDS",
    "deadline_seconds": "VMIE_DEADLINE_SECONDS",
    "import_limit": "VMIE_IMPORT_LIMIT",
    "conversion_limit": "VMIE_CONVERSION_LIMIT",
    "export_limit": "VMIE_EXPORT_LIMIT",
    "stall_seconds": "VMIE_STALL_SECONDS",
    "patience_seconds": "VMIE_PATIENCE_SECONDS",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command runs with.

    `poll_seconds` is the shortest pause between two Describes, None for the built-in pace.
    `deadline_seconds` counts from the task's start (default 7 days, seed). The three limits are active
    tasks per account and Region (defaults 20, 5, 5: seed). A transfer's connection that is silent for
    `stall_seconds` is broken off and made anew; one where nothing arrives for `patience_seconds` is given up.
    """

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    bucket: str | None = None
    export_bucket: str | None = None
    prefix: str = "vmie/"
    export_prefix: str = "exports/"
    role_name: str = "vmimport"
    poll_seconds: float | None = None
    deadline_seconds: float = 7 * 86_400.0
    import_limit: int = 20
    conversion_limit: int = 5
    export_limit: int = 5
    stall_seconds: float = 30.0
    patience_seconds: float = 300.0
    #: field name -> "option", "environment variable X", "settings file …"
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def origin(self, name: str) -> str:
        """Where the value of field `name` came from: "option", "environment …", "settings file …", "default"."""
        return self.origins.get(name, "default")


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the settings file is, or would be."""
    if named := environ.get("VMIE_CONFIG"):
        return Path(named)
    from platformdirs import user_config_path  # noqa: PLC0415 - only commands need it

    return user_config_path("vmie") / "settings.toml"


def state_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where jobs are journalled."""
    if named := environ.get("VMIE_STATE"):
        return Path(named)
    from platformdirs import user_state_path  # noqa: PLC0415

    return user_state_path("vmie")


def load(options: Mapping[str, Any], *, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settle every field. `options` holds flags; None means "not given".

    Raises UsageError (naming the field and the place) for a value that cannot be read.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path = config_path(environ)
    for name, value in _read_file(path).items():
        values[name], origins[name] = value, f"settings file {path}"
    if environ.get("AWS_REGION"):
        # Every newer SDK and the AWS CLI 2 know it; boto3 reads only AWS_DEFAULT_REGION.
        values["region"], origins["region"] = environ["AWS_REGION"], "environment variable AWS_REGION"
    for name, variable in ENVIRONMENT.items():
        if environ.get(variable):
            values[name], origins[name] = environ[variable], f"environment variable {variable}"
    for name, value in options.items():
        if value is not None:
            values[name], origins[name] = value, "option"
    return Settings(**{name: _typed(name, value, origins[name]) for name, value in values.items()}, origins=origins)


def save(changes: Mapping[str, Any], *, environ: Mapping[str, str] = os.environ) -> Path:
    """Merge `changes` into the settings file and return its path; other fields are kept."""
    path = config_path(environ)
    merged = {**_read_file(path), **changes}
    text = "".join(f"{name} = {_toml(value)}\n" for name, value in sorted(merged.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f"# vmie: values that flags and VMIE_* variables override\n{text}", encoding="utf-8")
    temporary.replace(path)
    return path


_INTEGERS = ("import_limit", "conversion_limit", "export_limit")
_FLOATS = ("poll_seconds", "deadline_seconds", "stall_seconds", "patience_seconds")


def _typed(name: str, value: Any, origin: str) -> Any:
    if name == "endpoint_url" and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", str(value)):
        raise UsageError(
            f"{name} = {value!r} ({origin}) is no address",
            cure="give one such as http://127.0.0.1:4566",
            fields=(name,),
        )
    wanted: type = int if name in _INTEGERS else float if name in _FLOATS else str
    try:
        typed = wanted(value)
    except (TypeError, ValueError):
        typed = None
    if typed is None or (wanted is not str and not 0 < typed < float("inf")):
        raise UsageError(
            f"{name} = {value!r} ({origin}) is not a positive {'whole ' if wanted is int else ''}number",
            cure=f"give {name} a positive number",
            fields=(name,),
        )
    return typed


def _read_file(path: Path) -> dict[str, Any]:
    """The file's fields; pydantic is loaded only when there is a file to judge."""
    if not path.exists():
        return {}
    from pydantic import ConfigDict, ValidationError, create_model  # noqa: PLC0415

    shape: dict[str, Any] = {
        f.name: ((int if f.name in _INTEGERS else float if f.name in _FLOATS else str) | None, None)
        for f in fields(Settings)
        if f.name != "origins"
    }
    model = create_model("SettingsFile", __config__=ConfigDict(extra="forbid"), **shape)
    try:
        found = model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"cannot read the settings file {path}: {error}", cure="mend or remove it") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"settings file {path}: {where}: {first['msg']}", cure=f"known fields: {', '.join(sorted(shape))}"
        ) from error
    return {name: value for name, value in found.model_dump().items() if value is not None}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
