"""What AWS would refuse is refused in the plan; what fits is taken; what was nearly right is named."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.unit.batch.plans import load, mistakes
from vmie.batch.model import ItemKind


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ("bucket: Big_Bucket", "bucket", "no bucket's name"),
        ("bucket: 10.0.0.1", "bucket", "no bucket's name"),
        ("bucket: a..b", "bucket", "no bucket's name"),
        ("bucket: xn--x", "bucket", "reserves"),
        ("bucket: s3://my-bucket/deep", "bucket", "give the rest as `prefix`"),
        ("region: us-esat-1", "region", "no AWS Region"),
        ("region: us-east-1a", "region", "a zone of us-east-1"),
        ("role_name: 'arn:aws:iam::123456789012:role/vmimport'", "role_name", "give the role's name"),
        ("kms_key: my-key", "kms_key", "no KMS key"),
        ("usage_operation: Run", "usage_operation", "no usage operation"),
        ("license_configurations: [x]", "license_configurations[0]", "no licence configuration"),
        ("tags: {'AWS:x': y}", "tags.AWS:x", "begin with aws:"),
        ("tags: {'vmie:job': y}", "tags.vmie:job", "how vmie knows"),
        (f"tags: {{{'k' * 129}: y}}", f"tags.{'k' * 129}", "at most 128"),
        (f"tags: {{k: {'v' * 257}}}", "tags.k", "at most 256"),
        (f"tags: {{{', '.join(f'k{n}: v' for n in range(50))}}}", "tags", "more than the 50"),
        (f"description: {'d' * 256}", "description", "at most 255"),
        (f"name: {'n' * 257}", "name", "at most 256"),
        ("name: ''", "name", "is empty"),
        ('name: "\\x07"', "name", "U+0007"),
        ("register: ab, route: snapshot", "register", "3 to 128"),
        ("register: 'a*b', route: snapshot", "register", "no AMI name"),
        ("storage_class: GLACIER", "storage_class", "choose STANDARD"),
        ("max_rate: fast", "max_rate", "no rate"),
        ("wave: 1.5", "wave", "a whole number"),
        ("encrypted: 'maybe'", "encrypted", "true or false"),
        ("boot_mode: efi", "boot_mode", "did you mean uefi?"),
        ("boot_mode: BIOS", "boot_mode", "did you mean legacy-bios?"),
        ("platform: linux", "platform", "did you mean Linux?"),
        ("architecture: amd64", "architecture", "did you mean x86_64?"),
        ("route: ami", "route", "did you mean image?"),
        ("download: out", "download", "it is for exports"),
        ("instance_type: m3.large", "instance_type", "it is for route: instance"),
        ("route: instance, instance_type: large", "instance_type", "no instance type"),
        ("route: instance, instance_type: m3.large, subnet: sub", "subnet", "no subnet"),
        ("route: instance, instance_type: m3.large, private_ip: 10.0.0.9", "private_ip", "needs subnet"),
        ("route: volume, availability_zone: eu-west-1a, region: us-east-1", "availability_zone", "not in the item's"),
        (
            "route: volume, availability_zone: us-east-1a, encrypted: true",
            "encrypted",
            "it is for route: image or snapshot",
        ),
        ("route: volume", "availability_zone", "is missing"),
        ("except: b.raw", "except", "only a pattern"),
        ("key: has space", "key", "a key is made of"),
        ("queue: Rack 2", "queue", "a label is made of"),
        ("after: web-*", "after", "there is no item 'web-*'"),
    ],
)
def test_the_field_is_named_and_why(folder: Path, fields: str, field: str, says: str) -> None:
    found = mistakes(folder, f"items:\n  - {{source: a.raw, {fields}}}\n")
    where = f"items[0].{field}" if field else "items[0]"
    assert [(line, at) for line, at, _ in found] == [(2, where)], found
    assert says in found[0][2]


@pytest.mark.parametrize(
    ("guess", "meant"),
    [
        ("licence", "license_type"),
        ("licences", "license_configurations"),
        ("os", "platform"),
        ("arch", "architecture"),
        ("boot", "boot_mode"),
        ("size", "volume_size"),
        ("file", "source"),
        ("path", "source"),
        ("disk", "source"),
        ("depends_on", "after"),
        ("needs", "after"),
        ("account", "profile"),
        ("kms_key_id", "kms_key"),
        ("role", "role_name"),
        ("tag", "tags"),
        ("bucket_name", "bucket"),
        ("descripton", "description"),
        ("Wave", "wave"),
        ("boot-mode", "boot_mode"),
    ],
)
def test_common_guesses_are_led_to_our_names(folder: Path, guess: str, meant: str) -> None:
    found = mistakes(folder, f"items:\n  - {{source: a.raw, {guess}: x}}\n")
    assert found == [(2, f"items[0].{guess}", f"there is no such field; did you mean {meant}?")]


@pytest.mark.parametrize(
    "fields",
    [
        "region: eu-central-1",
        "region: us-gov-west-1",
        "region: cn-northwest-1",
        "region: eusc-de-east-1",
        "bucket: s3://my-bucket/",
        "kms_key: alias/mine",
        "kms_key: 12345678-1234-1234-1234-123456789012",
        "kms_key: 'arn:aws:kms:eu-west-1:123456789012:key/mrk-" + "0" * 32 + "'",
        "license_configurations: 'arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-0123456789'",
        "usage_operation: 'RunInstances:00g0'",
        "format: VMDK",
        "route: Snapshot, volume_type: gp2, register: web-1",
        "route: volume, availability_zone: us-west-2-lax-1a, volume_size: 40",
        "route: instance, instance_type: m3.large, subnet: subnet-0123456789abcdef0, private_ip: 10.0.0.9",
        "route: instance, instance_type: m3.large, security_groups: [sg-01234567, web]",
        "max_rate: 20M, storage_class: STANDARD_IA, sse: 'aws:kms', sse_kms_key: alias/s3, accelerate: true",
        "bucket: null, tags: {}",
    ],
)
def test_what_aws_takes_is_taken(folder: Path, fields: str) -> None:
    assert load(folder, f"items:\n  - {{source: a.raw, {fields}}}\n").items


def test_a_wrong_format_of_an_export_is_not_missing_too(folder: Path) -> None:
    found = mistakes(folder, "items:\n  - {source: i-0123456789abcdef0, format: vhdx}\n")
    assert [(field, message.partition(";")[0]) for _, field, message in found] == [
        ("items[0].format", "format: AWS makes no vhdx")
    ]


def test_defaults_hold_where_they_fit(folder: Path) -> None:
    plan = load(
        folder,
        "defaults: {license_type: AWS, bucket: my-bucket, format: vmdk, instance_type: m3.large, strict: true}\n"
        "items:\n"
        "  - {source: a.raw, usage_operation: RunInstances}\n"
        "  - {source: b.raw, route: snapshot, bucket: null}\n"
        "  - {source: c.vmdk, route: instance, as_is: true}\n"
        "  - {source: ami-0123456789abcdef0}\n",
    )
    image, snapshot, instance, export = (item.request for item in plan.items)
    assert (image["license_type"], image["usage_operation"]) == ("", "RunInstances")
    assert (snapshot["license_type"], snapshot["bucket"], snapshot["strict"]) == ("", None, True)
    assert (instance["as_is"], instance["format"], instance["instance_type"]) == (True, None, "m3.large")
    assert (export["format"], export["bucket"]) == ("vmdk", "my-bucket")
    assert [item.kind for item in plan.items] == [
        ItemKind.IMPORT,
        ItemKind.IMPORT,
        ItemKind.CONVERSION,
        ItemKind.EXPORT,
    ]


def test_a_mistake_in_defaults_is_told_once_and_there(folder: Path) -> None:
    found = mistakes(
        folder, "defaults:\n  tags: {'aws:x': y}\n  bucket: B\nitems:\n  - source: '*.raw'\n  - source: c.vmdk\n"
    )
    assert [(line, field) for line, field, _ in found] == [(2, "defaults.tags.aws:x"), (3, "defaults.bucket")]


def test_route_is_also_called_as(folder: Path) -> None:
    assert load(folder, "items: [{source: a.raw, as: snapshot}]\n").items[0].request["route"] == "snapshot"
    both = mistakes(folder, "items:\n  - source: a.raw\n    as: snapshot\n    route: snapshot\n")
    assert both == [(3, "items[0].as", "as is another name of route: give one of the two")]


def test_an_overlapping_pattern_is_refused_unless_it_excepts(folder: Path) -> None:
    items = "items:\n  - {source: a.raw, key: special}\n  - {source: '*.raw'%s}\n"
    found = mistakes(folder, items % "")
    assert found == [
        (
            3,
            "items[1].source",
            (
                "a.raw is in the item 'special' of line 2 too: a VM is moved once; leave it out of the pattern with "
                "`except: a.raw`"
            ),
        )
    ]
    assert [item.key for item in load(folder, items % ", except: a.*").items] == ["special", "b"]


def test_the_same_disk_twice_needs_two_keys(folder: Path) -> None:
    assert len(load(folder, "items: [{source: a.raw, key: x}, {source: a.raw, key: y}]\n").items) == 2
    assert mistakes(folder, "items: [{source: a.raw, name: x}, {source: ./a.raw, name: y}]\n")
    shared = "items: [{source: [a.raw, c.vmdk], name: x}, {source: [b.raw, c.vmdk], name: y}]\n"
    assert "c.vmdk is in the item 'x'" in mistakes(folder, shared)[0][2]


def test_after_may_be_a_pattern(folder: Path) -> None:
    plan = load(folder, "items: [{source: '*.raw'}, {source: c.vmdk, after: '*'}]\n")
    assert plan.items[2].after == ("a", "b")


def test_a_pattern_knows_its_line(folder: Path) -> None:
    (folder / "b.vhd").write_bytes(b"x")
    found = mistakes(folder, "items:\n  - source: c.vmdk\n  - source: 'b.*'\n    wave: 1\n    after: nobody\n")
    assert [(line, field) for line, field, _ in found] == [(3, "items[1].source"), (5, "items[1].after")]


def test_disks_of_another_site_need_not_be_here(folder: Path) -> None:
    text = "items:\n  - {source: /disks/far.vmdk%s}\n"
    assert mistakes(folder, text % "")
    item = load(folder, text % ", queue: rack-2").items[0]
    assert (item.source, item.queue, item.size) == ("/disks/far.vmdk", "rack-2", 0)
    assert "named one by one" in mistakes(folder, "items: [{source: '/disks/*', queue: rack-2}]\n")[0][2]


def test_every_circle_is_told(folder: Path) -> None:
    items = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("e", "e"), ("f", "a")]
    text = "items:\n" + "".join(f"  - {{source: s3://b-b/{key}, key: {key}, after: {of}}}\n" for key, of in items)
    assert [message for *_, message in mistakes(folder, text)] == [
        "a circle: a → b → a",
        "a circle: c → d → c",
        "a circle: e → e",
    ]


def test_sources_that_are_none(folder: Path) -> None:
    text = """\
items:
  - {source: .}
  - {source: "a\\0.raw"}
  - {source: "~nobody-here/x.raw"}
  - {source: %s}
  - {source: "https://host/y.raw"}
  - {source: i-123}
  - {source: vol-0123456789abcdef0}
  - {source: "s3://b-b/x*.raw", key: s}
  - source: ""
  - source: []
  - source:
  - 7
  - {source: [i-0123456789abcdef0, a.raw], format: vmdk}
"""
    found = mistakes(folder, text % ("x" * 5000))
    said = {line: message for line, field, message in reversed(found)}
    for line, words in {
        2: "is a folder",
        3: "U+0000",
        4: "there is no file",
        5: "there is no file",
        6: "is not read",
        7: "neither a file nor an instance",
        8: "neither a file nor an instance",
        9: "not looked up in S3",
        11: "is empty",
        13: "an item is a mapping",
        14: "an export has one source",
    }.items():
        assert words in said[line], found
    assert {10, 12} <= said.keys()


def test_links_in_circles_are_not_followed_for_ever(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "d.raw").write_bytes(b"d")
    for name in ("round", "and-round"):
        (folder / name).symlink_to(folder)
    begun = time.process_time()
    plan = load(folder, "items: [{source: '**/*.raw'}]")
    assert sorted(item.key for item in plan.items) == ["a", "b", "d"]
    ((_, field, said),) = mistakes(folder, f"items: [{{source: '{'*/' * 60}*.raw'}}]")
    assert (field, "leads through more than" in said) == ("items[0].source", True)
    assert time.process_time() - begun < 60


def test_a_pattern_longer_than_any_name_is_refused_unread(folder: Path) -> None:
    begun = time.process_time()
    ((_, field, said),) = mistakes(folder, f"items: [{{source: '{'[' * 1_000_000}'}}]")
    assert (field, "longer than the name of any file" in said) == ("items[0].source", True)
    ((_, field, _),) = mistakes(folder, f"items: [{{source: '*.raw', except: '{'[' * 1_000_000}*'}}]")
    assert field == "items[0].except"
    assert time.process_time() - begun < 60


def test_more_patterns_of_keys_than_can_be_looked_for_are_refused(folder: Path) -> None:
    names = ", ".join(f"'k{number}*'" for number in range(1002))
    found = mistakes(folder, f"items: [{{source: s3://my-bucket/a.raw, after: [{names}]}}]")
    assert "1000 different patterns" in found[-1][2]


def test_a_matched_file_whose_name_is_no_unicode_is_named(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9.raw")).write_bytes(b"d")
    ((_, field, said),) = mistakes(folder, "items: [{source: 'latin-*.raw'}]")
    assert field == "items[0].source"
    assert "not UTF-8" in said
    assert len(load(folder, "items: [{source: '*.raw', except: 'latin-*'}]").items) == 2
