"""How long policies may be: IAM counts characters without white space."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.conftest import code_of, message_of, policy


class TestIamSizes:
    @staticmethod
    def document(size: int) -> str:
        """Of `size` characters that count, and as many that do not."""
        base = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": ""}]}
        plain = json.dumps(base, separators=(",", ":"))
        base["Statement"][0]["Resource"] = "arn:aws:s3:::".ljust(size - len(plain), "r")  # type: ignore[index]
        return json.dumps(base, separators=(",", ":")).replace(",", "," + " \n" * 100)

    @pytest.mark.parametrize(("kind", "limit"), [("User", 2048), ("Role", 10240), ("Group", 5120)])
    def test_inline_policies_together(self, iam: Any, kind: str, limit: int) -> None:
        trust = policy({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
        more = {"AssumeRolePolicyDocument": trust} if kind == "Role" else {}
        getattr(iam, f"create_{kind.lower()}")(**{f"{kind}Name": "n"}, **more)
        put = getattr(iam, f"put_{kind.lower()}_policy")

        def code(name: str, size: int) -> str:
            return code_of(put, **{f"{kind}Name": "n"}, PolicyName=name, PolicyDocument=self.document(size))

        assert code("first", limit + 1) == "LimitExceeded"
        assert code("first", limit) == ""
        assert code("first", limit) == ""  # in place of itself
        assert code("second", 200) == "LimitExceeded"
        assert code("first", limit - 200) == ""
        assert code("second", 200) == ""
        over = {f"{kind}Name": "n", "PolicyName": "x", "PolicyDocument": self.document(201)}
        assert message_of(put, **over) == f"Maximum policy size of {limit} bytes exceeded for {kind.lower()} n"

    def test_managed_policies_and_trust(self, iam: Any) -> None:
        arn = iam.create_policy(PolicyName="fits", PolicyDocument=self.document(6144))["Policy"]["Arn"]
        over = self.document(6145)
        assert code_of(iam.create_policy, PolicyName="over", PolicyDocument=over) == "LimitExceeded"
        assert code_of(iam.create_policy_version, PolicyArn=arn, PolicyDocument=over) == "LimitExceeded"
        condition = {"StringEquals": {"sts:ExternalId": ["x" * 40] * 50}}
        statement = {"Effect": "Allow", "Principal": {"Service": "vmie.amazonaws.com"}, "Action": "sts:AssumeRole"}
        long = policy({**statement, "Condition": condition})
        assert code_of(iam.create_role, RoleName="r", AssumeRolePolicyDocument=long) == "LimitExceeded"
