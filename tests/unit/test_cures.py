"""Messages and cures as data: options by their fields, written by whoever shows them."""

from __future__ import annotations

import inspect

import pytest

import vmie
from vmie import checks
from vmie.cli.terms import TERMS
from vmie.errors import Action, Cancel, Do, Drop, Resume, Run, Set, UsageError, VmieError, actions, lines_of, says
from vmie.options import ImportRequest
from vmie.options.base import fields_of


class Nowhere:
    """Terms of a place that can neither resume nor cancel."""

    def option(self, name: str, value: str = "") -> str:
        return f"<{name}{f' {value}' if value else ''}>"

    def resume(self, job: str) -> str:
        return ""

    def cancel(self, job: str) -> str:
        return ""


@pytest.mark.parametrize(
    ("action", "python", "command_line"),
    [
        (Do("export it again"), "export it again", "export it again"),
        (Do(says("give {name} or {register}")), "give name or register", "give --name or --register"),
        (Set("route", "snapshot"), "add route='snapshot'", "add --as snapshot"),
        (Set("together"), "add together", "add --together"),
        (Set("boot_mode", note="look first"), "add boot_mode  (look first)", "add --boot-mode  (look first)"),
        (Drop(("as_is", "copy")), "leave as_is and copy out", "leave --as-is and --copy out"),
        (Run(("vmie", "check", "my disk.raw")), "vmie check 'my disk.raw'", "vmie check 'my disk.raw'"),
        (Run(("aws", "s3", "ls"), "lists them"), "aws s3 ls  (lists them)", "aws s3 ls  (lists them)"),
        (Resume("job-1", "goes on"), "vmie resume job-1  (goes on)", "vmie resume job-1  (goes on)"),
        (Cancel("job-1"), "vmie cancel job-1", "vmie cancel job-1"),
    ],
)
def test_an_action_is_written_as_its_place_writes_it(action: Action, python: str, command_line: str) -> None:
    assert (action.text(), action.text(TERMS)) == (python, command_line)


def test_what_a_place_cannot_do_is_left_out() -> None:
    cure = actions((Resume("job-1", "goes on"), Set("bucket", "b"), Cancel("job-1")))
    assert lines_of(cure, Nowhere()) == "add <bucket b>"


def test_a_value_is_never_searched_for_options() -> None:
    message = says("{file} and {format} cannot both be given", file="my {bucket} --job.img")
    assert message.fields == ("format",)
    assert message.text(TERMS) == "my {bucket} --job.img and --format cannot both be given"


def test_the_fields_of_an_error_are_those_of_its_message_unless_given() -> None:
    assert UsageError(says("{as_is} and {format}")).fields == ("as_is", "format")
    assert UsageError(says("{as_is} and {format}"), fields=("format",)).fields == ("format",)
    assert VmieError("plain").fields == ()


def test_more_can_be_said_of_an_error() -> None:
    error = VmieError("it failed", cause="because", cure="do this")
    error.add_cause("", "and because")
    error.add_cure(Set("region", "eu-west-1"))
    assert error.as_json(TERMS) == {
        "code": "Failed",
        "message": "it failed",
        "cause": "because\nand because",
        "cure": "do this\nadd --region eu-west-1",
        "request_id": "",
    }


def test_the_options_that_rules_advise_are_there() -> None:
    """A cure that names an option names one of an import's, or of the check itself."""
    # `profile` is what the command `check` calls the rules
    known = {*fields_of(ImportRequest), *inspect.signature(vmie.check).parameters, "profile"}
    advised = {one.option for rule in checks.RULES for one in actions(rule.cure) if isinstance(one, Set)}
    assert advised
    assert advised <= known
