"""Every bullet of the 2016 page has a rule or a reason, and the page of rules says so."""

from __future__ import annotations

from vmie.checks import RULES
from vmie.checks.coverage import REQUIREMENTS, TODAY
from vmie.checks.docs_page import rules
from vmie.model import Profile

#: bullets of 要件と制限 on the page itself: 13 and 4 below the last; 15 and 1 below one; 7
_LIMITS = {"Limitations of ImportImage": 17, "Limitations of ImportInstance": 16, "Limitations of exports": 7}


def test_each_bullet_has_rules_or_a_reason_never_both_never_neither() -> None:
    assert [item.line for item in (*REQUIREMENTS, *TODAY) if bool(item.rules) == bool(item.reason)] == []


def test_all_bullets_of_the_limitations_are_there() -> None:
    for section, count in _LIMITS.items():
        assert len([item for item in REQUIREMENTS if item.section == section]) == count
    lines = [item.line for item in REQUIREMENTS]
    assert lines == sorted(set(lines))


def test_the_rules_named_exist_in_the_2016_profile() -> None:
    old = {rule.id for rule in RULES if Profile.Y2016 in rule.profiles}
    assert {rule for item in REQUIREMENTS for rule in item.rules} <= old


def test_rules_that_cite_the_page_are_in_the_table() -> None:
    cited = {
        int(number)
        for rule in RULES
        for one in rule.evidence
        if "2016, line" in one.source
        for number in one.source.split("2016, line")[1].lstrip("s ").split(",")
    }
    headings = {15, 67}
    assert cited - {item.line for item in REQUIREMENTS} <= headings


def test_the_page_shows_every_rule_and_every_bullet() -> None:
    page = rules()
    assert all(f"### {rule.id}: {rule.title}" in page for rule in RULES)
    assert all(f"| {item.line} | {item.section} | {item.says} |" in page for item in REQUIREMENTS)


def test_links_of_the_page_lead_somewhere() -> None:
    page = rules()
    headings = {
        "".join(c if c.isalnum() or c in "-_" else "-" if c == " " else "" for c in line[4:].lower())
        for line in page.splitlines()
        if line.startswith("### ")
    }
    links = {part.split(")")[0] for part in page.split("](#")[1:]}
    assert links <= headings
