"""What calls of EC2 need: each resource that is named or made, the tags that are set on the way, the role passed on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from vmie.sandbox.access.asks import Ask, Context, resource_tags, tag_context
from vmie.sandbox.access.ec2_resources import PREFIXES, RESOURCES, WITHOUT_ACCOUNT
from vmie.sandbox.access.request import ApiRequest

_ID = re.compile(r"([a-z]+(?:-[a-z]+)?)-[0-9a-z]{4,}")
#: what is no resource of the call: searched, written down, or a tag
_BESIDE = re.compile(r"(Filter|Tag|TagSpecification|Description|ClientToken|UserData|NextToken|Name)\b.*")
_READING = ("Describe", "Get", "List", "Search")
#: the role that the service takes by itself, which nobody passes to it
_DEFAULT_ROLE = "vmimport"
_WITH_ROLE = ("ImportImage", "ImportSnapshot", "ExportImage")
_VM_IMPORT, _EC2 = "vmie.amazonaws.com", "ec2.amazonaws.com"
#: from names of parameters to condition keys of what is made
_MADE = {
    "InstanceType": "InstanceType",
    "VolumeType": "VolumeType",
    "Size": "VolumeSize",
    "Iops": "VolumeIops",
    "Throughput": "VolumeThroughput",
    "Encrypted": "Encrypted",
    "AvailabilityZone": "AvailabilityZone",
    "Placement.AvailabilityZone": "AvailabilityZone",
    "Placement.Tenancy": "Tenancy",
    "MetadataOptions.HttpTokens": "MetadataHttpTokens",
}


def asks(request: ApiRequest) -> Iterator[Ask]:
    """Everything that has to be allowed for the call."""
    action = request.call.action
    if action in ("CreateTags", "DeleteTags"):
        yield from _tagging(request)
        return
    general = _general(request)
    made = dict(_made_tags(request))
    found = list(_resources(request))
    for kind, name in found:
        tags = made.get(kind, {}) if name == "*" else {}
        context = {**general, **_attributes(request, kind, name), **tag_context(tags)}
        yield Ask(f"ec2:{action}", _arn(request, kind, name), context)
    if not found:
        yield Ask(f"ec2:{action}", context=general)
    for kind, tags in made.items():
        if tags:
            context = {**general, **tag_context(tags), "ec2:CreateAction": action}
            yield Ask("ec2:CreateTags", _arn(request, kind, "*"), context)
    yield from _passed_roles(request)


def snapshot_tags(request: ApiRequest, tags: dict[str, str], action: str) -> Ask:
    """The right to tag a snapshot while EBS direct makes it."""
    context = {**_general(request), **tag_context(tags), "ec2:CreateAction": action}
    return Ask("ec2:CreateTags", _arn(request, "snapshot", "*"), context)


def existing_tags(request: ApiRequest, name: str) -> dict[str, str]:
    """The tags of a resource of EC2."""
    backend = _backend(request)
    return dict(backend.tags.get(name) or {}) if backend is not None else {}


def _backend(request: ApiRequest) -> Any:
    """moto's EC2 of the Region; None for a Region that there is not."""
    try:
        return ec2_backends[request.account][request.region]
    except KeyError:
        return None


def _resources(request: ApiRequest) -> list[tuple[str, str]]:
    """Types and ids of what the action is checked on; "*" stands for what is made, or not named."""
    named: dict[str, list[str]] = {}
    for key, value in request.form.items():
        match = None if _BESIDE.match(key) else _ID.fullmatch(value)
        if match and match[1] in PREFIXES:
            named.setdefault(PREFIXES[match[1]], []).append(value)
    if request.form.get("KeyName"):
        named.setdefault("key-pair", []).append(request.form["KeyName"])
    action = request.call.action
    listed = RESOURCES.get(action)
    if listed is None:
        if action.startswith(_READING):
            return []
        return [(kind, name) for kind, names in named.items() for name in names]
    found: list[tuple[str, str]] = []
    for one in listed:
        kind, mark = one.rstrip("*+"), one[-1]
        if mark == "+" or (mark == "*" and kind not in named):
            found.append((kind, "*"))
        else:
            found += [(kind, name) for name in named.get(kind, ())]
    return found


def _arn(request: ApiRequest, kind: str, name: str) -> str:
    account = "" if kind in WITHOUT_ACCOUNT else request.account
    return f"arn:{request.partition}:ec2:{request.region}:{account}:{kind}/{name}"


def _general(request: ApiRequest) -> dict[str, Any]:
    """Keys of every resource of the call."""
    form, context = request.form, {"ec2:Region": request.region}
    if attribute := form.get("Attribute"):
        context["ec2:Attribute"] = attribute
    for permission in ("LaunchPermission", "CreateVolumePermission"):
        for change in ("Add", "Remove"):
            for key, name in (("UserId", "userId"), ("Group", "group")):
                if values := [form[one] for one in form if re.fullmatch(rf"{permission}\.{change}\.\d+\.{key}", one)]:
                    context[f"ec2:{change}/{name}"] = values  # type: ignore[assignment]
    return context


def _attributes(request: ApiRequest, kind: str, name: str) -> Context:
    """The keys that a resource has: of the request where it is made, else as it is."""
    if name == "*":
        given = {key: request.form[one] for one, key in _MADE.items() if one in request.form}
        types = {"instance": ("InstanceType", "AvailabilityZone", "Tenancy", "MetadataHttpTokens")}
        kept = types.get(kind, ("VolumeType", "VolumeSize", "VolumeIops", "VolumeThroughput", "Encrypted"))
        return {f"ec2:{key}": value for key, value in given.items() if key in kept or kind == "volume"}
    context: dict[str, Any] = dict(resource_tags(existing_tags(request, name), "ec2"))
    context["aws:ResourceAccount"] = request.account
    if (backend := _backend(request)) is None:
        return context
    if kind == "image" and (image := backend.amis.get(name)) is not None:
        context |= {"ec2:ImageID": name, "ec2:Owner": image.owner_id, "ec2:Public": _word(image.is_public)}
        context |= {"aws:ResourceAccount": image.owner_id, "ec2:RootDeviceType": "ebs", "ec2:ImageType": "machine"}
    elif kind == "snapshot" and (snapshot := backend.snapshots.get(name)) is not None:
        owner = str(getattr(snapshot, "owner_id", request.account))
        context |= {"ec2:SnapshotID": name, "ec2:Owner": owner, "ec2:VolumeSize": str(snapshot.volume_size)}
        context |= {"ec2:Encrypted": _word(snapshot.encrypted), "aws:ResourceAccount": owner}
    elif kind == "volume" and (volume := backend.volumes.get(name)) is not None:
        context |= {"ec2:VolumeID": name, "ec2:VolumeSize": str(volume.size), "ec2:VolumeType": str(volume.volume_type)}
        context |= {"ec2:Encrypted": _word(volume.encrypted), "ec2:AvailabilityZone": volume.zone.name}
    elif kind == "instance" and (instance := _instance(backend, name)) is not None:
        context |= {"ec2:InstanceID": name, "ec2:InstanceType": instance.instance_type}
    return context


def _instance(backend: Any, name: str) -> Any:
    held = (reservation.instances for reservation in backend.reservations.values())
    return next((one for instances in held for one in instances if one.id == name), None)


def _word(value: object) -> str:
    return "true" if value else "false"


def _made_tags(request: ApiRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """The tags of each TagSpecification, by type of resource."""
    for key in request.form:
        found = re.fullmatch(r"(TagSpecification\.\d+)\.ResourceType", key)
        if found:
            yield request.form[key], request.tags(f"{found[1]}.Tag")


def _tagging(request: ApiRequest) -> Iterator[Ask]:
    tags = request.tags("Tag")
    for name in request.listed("ResourceId"):
        kind = PREFIXES.get(name.rpartition("-")[0], "")
        if not kind:  # a conversion task or an id that is none: EC2 says so itself
            continue
        context = {**_general(request), **_attributes(request, kind, name), **tag_context(tags)}
        yield Ask(f"ec2:{request.call.action}", _arn(request, kind, name), context)


def _passed_roles(request: ApiRequest) -> Iterator[Ask]:
    """iam:PassRole on a role that the caller hands to a service; VM Import/Export finds its own role by itself."""
    action, form = request.call.action, request.form
    roles, service = [], _VM_IMPORT
    if action in _WITH_ROLE and form.get("RoleName", _DEFAULT_ROLE) != _DEFAULT_ROLE:
        roles = [form["RoleName"]]
    elif action in ("RunInstances", "AssociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation"):
        service = _EC2
        roles = _profile_roles(request, form.get("IamInstanceProfile.Arn") or form.get("IamInstanceProfile.Name") or "")
    for name in roles:
        yield Ask("iam:PassRole", role_arn(request, name), {"iam:PassedToService": service})


def role_arn(request: ApiRequest, name: str) -> str:
    """The role's ARN, with its path where there is such a role."""
    for role in list(iam_backends[request.account][request.partition].roles.values()):
        if role.name == name:
            return str(role.arn)
    return f"arn:{request.partition}:iam::{request.account}:role/{name}"


def _profile_roles(request: ApiRequest, profile: str) -> list[str]:
    backend = iam_backends[request.account][request.partition]
    for one in list(backend.instance_profiles.values()):
        if profile in (one.arn, one.name):
            return [role.name for role in one.roles]
    return []
