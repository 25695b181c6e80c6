"""Which bucket, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from vmie.aws.session import Aws, connect
from vmie.errors import VmieError
from vmie.ops.bucket import resolve
from vmie.settings import Settings


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield connect(region="eu-west-1")


@pytest.mark.parametrize(("purpose", "option"), [("import", "--bucket"), ("export", "--export-bucket")])
def test_what_is_missing_is_named_with_the_command_that_makes_it(aws: Aws, purpose: str, option: str) -> None:
    def refused(**given: str) -> VmieError:
        with pytest.raises(VmieError) as caught:
            resolve(aws, Settings(), purpose=purpose, **given)
        return caught.value

    absent = refused(option="absent")
    assert absent.code == "NoSuchBucket"
    assert f"{option} absent --create-bucket" in absent.cure
    nothing = refused()
    assert (nothing.code, nothing.exit_code) == ("NoBucket", 2)
    assert f"vmie setup-role {option} NAME --create-bucket" in nothing.cure
    role = refused(role_name="other-role")
    assert role.code == "NoSuchRole"
    assert role.cure == f"vmie setup-role {option} BUCKET --role-name other-role"
