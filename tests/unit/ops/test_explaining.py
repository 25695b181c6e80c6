"""What `vmie explain` says of a rule, of a part of a message, and of a rule that there is not."""

from __future__ import annotations

import pytest

from vmie.checks import RULES, Rule
from vmie.errors import UsageError
from vmie.model import Verdict
from vmie.ops.explaining import message
from vmie.ops.export.rules import RULES as EXPORTS
from vmie.ops.export.rules import ExportRule


@pytest.mark.parametrize("rule", [*RULES, *EXPORTS], ids=lambda rule: rule.id)
def test_every_rule_is_explained_by_its_id(rule: Rule | ExportRule) -> None:
    for typed in (rule.id, rule.id.lower(), rule.id.removeprefix("VMIE-")):
        found = message(typed)
        assert found.rule is rule
    shown = found.as_json()
    assert (shown["id"], shown["known"], shown["kind"], shown["rules"]) == (rule.id, True, "rule", [rule.id])
    assert shown["rule"]["evidence"] == [one.as_json() for one in rule.evidence]
    assert shown["source"]
    assert shown["cure"] or rule.verdict is Verdict.PASS


def test_a_rule_that_there_is_not_names_those_like_it() -> None:
    with pytest.raises(UsageError, match="no rule VMIE-OS-905") as caught:
        message("VMIE-OS-905")
    assert any("VMIE-OS-" in action.text() for action in caught.value.actions)


def test_a_part_of_several_messages_gives_none_of_their_cures() -> None:
    shown = message("is not supported").as_json()
    assert not shown["known"]
    assert len(shown["like"]) > 1
