"""The documents say what AWS asks for, and are told apart from edited ones."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools import ROOT
from vmie import policy
from vmie.errors import VmieError
from vmie.policy import Grants

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ID = "c4d8eabf8db69dbe46bfe0e517100c554f01200b104d59cd408e777ba442a322"

#: the role policy that today's user guide prints (aws-facts 4.2), with export
GUIDE: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::imports", "arn:aws:s3:::imports/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:GetBucketAcl"],
            "Resource": ["arn:aws:s3:::exports", "arn:aws:s3:::exports/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*"],
            "Resource": "*",
        },
    ],
}


def test_one_bucket_gives_the_seeds_documents_to_the_letter() -> None:
    role = (ROOT / "policies" / "role-policy.json").read_text().replace("<disk-image-file-bucket>", "my-bucket")
    assert policy.role(Grants(("my-bucket",))) == json.loads(role)
    assert policy.trust() == json.loads((ROOT / "policies" / "trust-policy.json").read_text())


def test_every_template_is_found_and_the_placeholders_of_the_seed_are_kept() -> None:
    for path in (ROOT / "policies").glob("*.json"):
        assert policy.template(path.stem) == json.loads(path.read_text())
    assert "<disk-image-file-bucket>" in (ROOT / "policies" / "role-policy.json").read_text()


def test_a_template_is_a_fresh_copy_each_time() -> None:
    policy.template("trust-policy")["Statement"].clear()
    assert policy.template("trust-policy")["Statement"]


def test_all_parts_together_grant_what_the_guide_lists() -> None:
    document = policy.role(Grants(("imports", "more"), ("exports",), (KEY,), license_manager=True))
    assert policy.missing([document], GUIDE) == []
    wanted = {
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::more/*"]},
            {
                "Effect": "Allow",
                "Action": ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"],
                "Resource": KEY,
            },
            {"Effect": "Allow", "Action": ["kms:GenerateDataKey*", "kms:ReEncrypt*"], "Resource": KEY},
            {"Effect": "Allow", "Action": "license-manager:GetLicenseConfiguration", "Resource": "*"},
        ]
    }
    assert policy.missing([document], wanted) == []


def test_without_import_buckets_no_empty_resource_list_is_left() -> None:
    document = policy.role(Grants(export_buckets=("exports",)))
    assert all(statement["Resource"] for statement in document["Statement"])


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_arns_are_in_the_partition(partition: str) -> None:
    documents = [
        policy.role(Grants(("imports",), ("exports",)), partition=partition),
        policy.trust(account="123456789012", partition=partition),
        policy.export_bucket("exports", canonical_id=ID, partition=partition),
        policy.user(["imports"], partition=partition),
    ]
    for document in documents:
        arns = [word for word in json.dumps(document).split('"') if word.startswith("arn:")]
        assert arns
        assert all(arn.startswith(f"arn:{partition}:") for arn in arns)
    assert policy.SERVICE in json.dumps(documents[1])


def test_restricting_the_source_adds_both_conditions_and_is_read_back() -> None:
    document = policy.trust(account="123456789012", partition="aws-us-gov")
    assert document["Statement"][0]["Condition"] == {
        "StringEquals": {"sts:ExternalId": "vmimport", "aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws-us-gov:vmie:*:123456789012:*"},
    }
    assert policy.trusted_account(document, partition="aws-us-gov") == "123456789012"
    assert policy.trusted_account(policy.trust()) == ""


def test_the_guides_spelling_of_the_external_id_is_ours() -> None:
    document = policy.trust()
    document["Statement"][0]["Condition"] = {"StringEquals": {"sts:Externalid": ["vmimport"]}}
    assert policy.trusted_account(document) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["Condition"]["StringEquals"].update({"sts:ExternalId": "other"}),
        lambda s: s.update(Principal={"Service": "ec2.amazonaws.com"}),
        lambda s: s.pop("Condition"),
        lambda s: s.update(Condition="text"),
        lambda s: s.update(Effect="Deny"),
        lambda s: s.update(Principal={"Service": ["vmie.amazonaws.com", "ec2.amazonaws.com"]}),
    ],
)
def test_another_trust_is_not_ours(change: Any) -> None:
    document = policy.trust()
    change(document["Statement"][0])
    assert policy.trusted_account(document) is None


def test_who_else_is_trusted_is_seen() -> None:
    document = policy.trust()
    assert policy.trusts_only_the_service(document)
    document["Statement"].append({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "123456789012"}})
    assert not policy.trusts_only_the_service(document)


NAMES = st.lists(st.from_regex(r"[a-z0-9]{3,8}(-[a-z0-9]{1,5})?", fullmatch=True), unique=True, max_size=4)
GRANTS = st.builds(
    lambda imports, exports, key, licence: Grants(
        tuple(imports), tuple(f"x{name}" for name in exports), (KEY,) if key else (), licence
    ),
    NAMES,
    NAMES,
    st.booleans(),
    st.booleans(),
)


@given(GRANTS, st.randoms(use_true_random=False), st.sampled_from(["aws", "aws-cn", "aws-us-gov"]))
def test_what_we_write_is_read_back_in_any_order(grants: Grants, random: Any, partition: str) -> None:
    document = policy.role(grants, partition=partition)
    shuffled = copy.deepcopy(document)
    random.shuffle(shuffled["Statement"])
    for statement in shuffled["Statement"]:
        random.shuffle(statement["Action"])
        statement["Action"] = [action.upper() for action in statement["Action"]]
    assert policy.same(document, shuffled)
    found = policy.grants_of(shuffled, partition=partition)
    assert found is not None
    assert policy.same(policy.role(found, partition=partition), document)
    assert set(found.buckets) == set(grants.buckets)
    assert set(found.export_buckets) == set(grants.export_buckets)


def test_a_bucket_for_both_ways_is_read_back_as_such() -> None:
    grants = Grants(("images", "both"), ("both",))
    assert policy.grants_of(policy.role(grants)) == grants


def test_the_guides_own_policy_is_recognised() -> None:
    assert policy.grants_of(GUIDE) == Grants(("imports",), ("exports",))


def test_a_single_statement_without_a_list_is_read() -> None:
    document = {"Version": "2012-10-17", "Statement": GUIDE["Statement"][0]}
    assert policy.buckets_of(document) == ["imports"]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["Statement"].append({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}),
        lambda d: d["Statement"].append({"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}),
        lambda d: d["Statement"][1]["Action"].append("s3:DeleteObject"),
        lambda d: d["Statement"][1].update(Resource=["arn:aws:s3:::imports/prefix/*"]),
        lambda d: d["Statement"][1].update(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        lambda d: d["Statement"][0]["Action"].remove("s3:GetBucketLocation"),
        lambda d: d["Statement"].pop(),
        lambda d: d["Statement"][1].update(Resource=["arn:aws:s3:::*/*"]),
        lambda d: d["Statement"][0].update(NotAction=["s3:PutObject"]),
        lambda d: d.update(Statement="nonsense"),
    ],
)
def test_an_edited_policy_is_not_ours(change: Any) -> None:
    document = policy.role(Grants(("imports",)))
    change(document)
    assert policy.grants_of(document) is None


def test_a_policy_of_another_partition_is_not_ours() -> None:
    assert policy.grants_of(policy.role(Grants(("imports",), (), ()), partition="aws-cn")) is None


def test_buckets_are_found_by_purpose() -> None:
    document = policy.role(Grants(("imports", "more"), ("exports",)))
    assert policy.buckets_of(document) == ["imports", "more"]
    assert policy.buckets_of(document, export=True) == ["exports"]
    only = policy.role(Grants(export_buckets=("exports",)))
    assert policy.buckets_of(only) == ["exports"]


@pytest.mark.parametrize("have", [{}, {"Statement": None}, {"Statement": [7, "x", {}]}, {"Statement": {"Effect": 1}}])
def test_nonsense_is_read_without_a_fuss(have: dict[str, Any]) -> None:
    assert policy.buckets_of(have) == []
    assert policy.grants_of(have) is None
    assert policy.trusted_account(have) is None
    assert policy.missing([have], policy.role(Grants(("imports",))))


def test_missing_names_the_action_and_the_resource() -> None:
    have = policy.role(Grants(("imports",)))
    lacking = policy.missing([have], policy.role(Grants(("imports", "more"))))
    assert policy.Permission("s3:GetObject", "arn:aws:s3:::more/*") in lacking
    assert not any("imports" in permission.resource for permission in lacking)


@pytest.mark.parametrize(
    ("statement", "enough"),
    [
        ({"Effect": "Allow", "Action": "*", "Resource": "*"}, True),
        ({"Effect": "Allow", "Action": "S3:Get*", "Resource": "arn:aws:s3:::imp*"}, True),
        ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::imports/?"}, False),
        ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::imports/prefix/*"}, False),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, False),
        ({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"x": "y"}}}, False),
    ],
)
def test_wildcards_cover_what_iam_would_let_them(statement: dict[str, Any], enough: bool) -> None:
    wanted = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::imports/*"}]}
    assert (policy.missing([{"Statement": [statement]}], wanted) == []) is enough
    deny = {"Effect": "Deny", "Action": "s3:Get*", "Resource": "arn:aws:s3:::imports/secret/*"}
    assert policy.missing([{"Statement": [statement, deny]}], wanted)


def test_the_bucket_policy_keeps_foreign_statements_and_is_written_once() -> None:
    ours = policy.export_bucket("exports", canonical_id=ID)
    foreign = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    first = policy.merged({"Version": "2008-10-17", "Id": "mine", "Statement": [foreign]}, ours)
    assert first["Statement"][0] == foreign
    assert first["Id"] == "mine"
    assert first["Statement"][1]["Principal"] == {"CanonicalUser": ID}
    assert policy.merged(first, ours) == first
    assert policy.merged(None, ours) == ours
    stale = copy.deepcopy(first)
    stale["Statement"][1]["Action"] = "s3:PutObject"
    assert policy.merged(stale, ours) == first


def test_a_canonical_id_that_s3_shows_as_its_account_is_left() -> None:
    ours = policy.export_bucket("exports", canonical_id=ID)
    shown = copy.deepcopy(ours)
    shown["Statement"][0]["Principal"] = {"AWS": "arn:aws:iam::123456789012:root"}
    assert policy.merged(shown, ours) == shown
    shown["Statement"][0]["Principal"] = {"AWS": "*"}
    assert policy.merged(shown, ours) == ours


@pytest.mark.parametrize("text", ["imports", "s3://imports", "s3://imports/", "Old_Bucket.of-2010"])
def test_bucket_names(text: str) -> None:
    assert policy.bucket_name(text) == text.removeprefix("s3://").removesuffix("/")


@pytest.mark.parametrize("text", ["", "*", "a*b", "imports/key", "s3://imports/key", "ab", "a..b", "<bucket>", "a?cd"])
def test_what_cannot_be_a_bucket_name_never_reaches_a_policy(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of an S3 bucket"):
        policy.bucket_name(text)


def test_only_key_arns_are_taken() -> None:
    assert policy.key_arn(KEY) == KEY
    for text in ("alias/x", "arn:aws:kms:eu-west-1:123456789012:alias/x", KEY[:-5] + "*", "*", ""):
        with pytest.raises(ValueError, match="not the ARN of a KMS key"):
            policy.key_arn(text)


def test_text_is_ordered_for_people() -> None:
    shown = policy.text({"Statement": [{"Resource": "*", "Action": "s3:*", "Sid": "A"}], "Version": "2012-10-17"})
    assert shown.index("Version") < shown.index("Sid") < shown.index("Action") < shown.index("Resource")
    assert policy.text(None) == ""


@pytest.mark.parametrize("found", ["", "{", "[]", "7", '{"a":' * 50 + "1" + "}" * 50, "[" * 100_000, [], None])
def test_a_document_of_no_policys_form_is_refused(found: Any) -> None:
    with pytest.raises(VmieError, match="the policy of s3://b cannot be read") as caught:
        policy.document(found, operand="s3://b")
    assert caught.value.cause
    assert caught.value.cure


@pytest.mark.parametrize("statement", [7, "text", None, [[]], ["text", 7]])
def test_statements_of_no_form_say_nothing(statement: Any) -> None:
    assert policy.granted({"Statement": statement}) == Grants()


def test_a_pattern_of_many_stars_is_compared_at_once() -> None:
    begun = time.process_time()
    wanted = {"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "a" * 2000}}
    have = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*a" * 40 + "b"}}
    assert policy.missing([have], wanted)
    assert time.process_time() - begun < 10
