"""Findings to verdicts: the worst counts, and the route to take follows from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.checks.subjects import BASE, disk, guest, linux
from vmie.checks import judge, narrow, recommend, verdicts
from vmie.checks.oslist import LINUX, edition_name, matching, parse, spans
from vmie.model import Finding, Profile, Route, Verdict

FAIL, UNKNOWN, WARN, PASS = Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN, Verdict.PASS
IMAGE, SNAPSHOT, INSTANCE, VOLUME = Route.IMAGE, Route.SNAPSHOT, Route.INSTANCE, Route.VOLUME


def finding(verdict: Verdict, *routes: Route) -> Finding:
    return Finding("VMIE-X-001", verdict, "m", routes=routes)


@pytest.mark.parametrize(
    ("seen", "worst"),
    [
        ([PASS, WARN], WARN),
        ([WARN, UNKNOWN], UNKNOWN),
        ([UNKNOWN, FAIL, WARN], FAIL),
        ([], PASS),
    ],
)
def test_the_worst_counts(seen: list[Verdict], worst: Verdict) -> None:
    assert verdicts([finding(verdict, IMAGE) for verdict in seen])[IMAGE] is worst


def test_a_finding_counts_on_its_routes_only() -> None:
    found = verdicts([finding(FAIL, IMAGE, INSTANCE)])
    assert found == {IMAGE: FAIL, SNAPSHOT: PASS, INSTANCE: FAIL, VOLUME: PASS}


@pytest.mark.parametrize(
    ("image", "snapshot", "chosen"),
    [
        (PASS, PASS, IMAGE),
        (WARN, PASS, IMAGE),
        (UNKNOWN, WARN, SNAPSHOT),
        (FAIL, PASS, SNAPSHOT),
        (UNKNOWN, FAIL, IMAGE),
        (FAIL, FAIL, None),
    ],
)
def test_the_recommended_route(image: Verdict, snapshot: Verdict, chosen: Route | None) -> None:
    assert recommend({IMAGE: image, SNAPSHOT: snapshot, INSTANCE: FAIL, VOLUME: FAIL}) is chosen


def test_worst_first() -> None:
    found = [f.verdict for f in judge(guest(linux(distribution="alpine", dirty=True), problems=()))]
    order = [FAIL, UNKNOWN, WARN, PASS]
    assert found == sorted(found, key=order.index)


def test_narrowing_keeps_the_routes_asked_for() -> None:
    kept = narrow([finding(FAIL, IMAGE, INSTANCE), finding(WARN, SNAPSHOT)], (IMAGE,))
    assert [(f.verdict, f.routes) for f in kept] == [(FAIL, (IMAGE,))]


def test_what_cannot_be_opened_is_judged_as_a_file_only() -> None:
    rules = {f.rule.split("-")[1] for f in judge(disk(unreadable="torn"))}
    assert rules == {"DISK"}


def test_a_snapshot_asks_nothing_about_the_system() -> None:
    found = verdicts(judge(linux(BASE, distribution="alpine", version="3.19")))
    assert (found[IMAGE], found[SNAPSHOT]) == (UNKNOWN, WARN)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("7.9", (7, 9)), ("11 SP4", (11, 4)), ("12-SP5", (12, 5)), ("6.0.8", (6, 0, 8)), ("", ()), ("bookworm/sid", ())],
)
def test_versions(text: str, numbers: tuple[int, ...]) -> None:
    assert parse(text) == numbers


@pytest.mark.parametrize(
    ("distribution", "version", "kernel", "taken"),
    [
        ("rhel", "9.4", "5.14.0-427.13.1.el9_4.x86_64", True),
        ("rhel", "6.0", "2.6.32-71.el6.x86_64", False),
        ("centos", "7", "3.10.0-1160.el7.x86_64", True),
        ("ol", "8.9", "5.15.0-200.131.27.el8uek.x86_64", True),
        ("ol", "5.11", "2.6.39-400.el5uek", True),
        ("ol", "5.11", "2.6.18-398.el5", False),
        ("rocky", "9.5", "5.14.0-503.el9.x86_64", True),
        ("amzn", "2023", "6.1.112-122.189.amzn2023.x86_64", True),
        ("amzn", "2", "6.1.0-1.amzn2.x86_64", False),
        ("sles", "15", "4.12.14-23-default", True),
        ("sles", "15.5", "5.14.21-150500.55-default", True),
        ("ubuntu", "24.04", "6.8.0-31-generic", True),
        ("ubuntu", "22.04", "6.8.0-45-generic", False),
        ("debian", "12.7", "6.1.0-25-amd64", True),
        ("debian", "12.5", "6.1.0-18-amd64", False),
        ("fedora", "41", "6.11.4-301.fc41.x86_64", True),
        ("fedora", "41", "6.11.40-1.fc41.x86_64", False),
    ],
)
def test_todays_list(distribution: str, version: str, kernel: str, *, taken: bool) -> None:
    assert any(row.takes(kernel) for row in matching(distribution, version, Profile.CURRENT)) is taken


@pytest.mark.parametrize(
    ("distribution", "version", "taken"),
    [
        ("rhel", "7.1", True),
        ("rhel", "7.2", False),
        ("centos", "6.0", False),
        ("debian", "8.0", True),
        ("debian", "8.1", False),
        ("ubuntu", "15.04", True),
        ("ubuntu", "16.04", False),
        ("oracle", "5.11", False),
        ("fedora", "21", True),
        ("amzn", "2", False),
    ],
)
def test_the_list_of_2016(distribution: str, version: str, *, taken: bool) -> None:
    assert bool(matching(distribution, version, Profile.Y2016)) is taken


def test_rows_are_well_formed() -> None:
    for rows in LINUX.values():
        assert all(row.first <= row.last and row.first for row in rows)
    assert spans(matching("ubuntu", "24.04", Profile.CURRENT)) == "24.04"


@pytest.mark.parametrize(
    ("edition", "name"),
    [
        ("ServerDatacenterEval", "datacenter"),
        ("ServerStandard", "standard"),
        ("EnterpriseS", "enterprise"),
        ("ProfessionalN", "professional"),
        ("CoreSingleLanguage", "home"),
        ("ServerSolution", "essentials"),
    ],
)
def test_editions(edition: str, name: str) -> None:
    assert edition_name(edition) == name


@given(distribution=st.text(max_size=20), version=st.text(max_size=30), kernel=st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_name_from_a_guest_upsets_the_rules(distribution: str, version: str, kernel: str) -> None:
    for profile in Profile:
        judged = linux(distribution=distribution, version=version, default_kernel=kernel, root_device=f"/dev/{kernel}")
        for found in judge(replace(judged, profile=profile)):
            assert found.message.isprintable()


def test_text_is_no_machine_but_may_be_a_snapshot() -> None:
    found = verdicts(judge(disk(format="raw", variant="raw", facts={"looks_like": "text"})))
    assert (found[IMAGE], found[SNAPSHOT]) == (FAIL, WARN)
