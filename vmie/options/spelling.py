"""How options are typed that are not called as their fields. By itself, for errors are written without the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: field to flags; every other is ``--`` and its name
FLAGS: Mapping[str, tuple[str, ...]] = {
    "route": ("--as",),
    "architecture": ("--arch",),
    "tags": ("--tag",),
    "license_configurations": ("--license-configuration",),
    "security_groups": ("--security-group",),
    "buckets": ("--bucket",),
    "export_buckets": ("--export-bucket",),
    "kms_keys": ("--allow-kms-key", "--kms-key"),
}
#: flags that still work beside those that they are called now, and that no help names
# `--kms-key` is the key of what AWS makes, and nothing else.
_OLDER: Mapping[str, tuple[str, ...]] = {"--kms-key": ("--sse-kms-key", "--allow-kms-key")}
#: what has no flag: field to what stands for its value
ARGUMENTS: Mapping[str, str] = {
    "sources": "sources",
    "source": "i-…|ami-…|snap-…|vol-…",
    "file": "OUT",
    "image_id": "ami-…",
    "path": "FILE",
    "url": "s3://BUCKET/KEY",
}


def typed(name: str) -> str:
    """An option's first flag, or what stands for an argument."""
    return ARGUMENTS.get(name) or FLAGS.get(name, (f"--{name.replace('_', '-')}",))[0]


def present(flags: Sequence[str]) -> list[str]:
    """The flags of one option, without those that another of them has replaced."""
    return [flag for flag in flags if not set(_OLDER.get(flag, ())) & set(flags)]
