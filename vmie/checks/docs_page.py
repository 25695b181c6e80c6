"""docs/reference/rules.md, from the rules themselves."""

from __future__ import annotations

from vmie import catalogue
from vmie.checks import RULES
from vmie.checks.coverage import REQUIREMENTS, TODAY, Requirement
from vmie.checks.rule import Rule
from vmie.errors import PYTHON, Terms, actions
from vmie.model import Profile, Route

_AREAS = {
    "DISK": "The files",
    "OVA": "The appliance",
    "LIM": "Sizes and numbers",
    "PART": "Partition tables",
    "FS": "Volumes and file systems",
    "OS": "Operating systems",
    "BOOT": "Firmware, boot loader, kernel and drivers",
    "LNX": "Linux",
    "WIN": "Windows",
    "LIC": "Licences",
    "NET": "Network",
}

_HEAD = """# Rules of `vmie check`

Generated from `vmie/checks`; change the rules, then `make docs`.

A rule that trips gives a finding with the verdict below. Single findings may be milder: a form that vmie converts
on the way is a warning, and a failure with `--as-is` and under the 2016 profile, which knows no converter. A finding
is `unknown` when the image does not tell. Per route the worst finding counts: fail, unknown, warn, pass.

Every rule names its evidence: *documented* by AWS, *seen in the field* in a public thread, or *following from how the
boot works*. A failure needs evidence that the service refuses or the guest cannot start; where it may go wrong a rule
warns, and where AWS's list is silent the verdict is unknown. `vmie explain RULE` shows a rule by itself.

Profiles: **current** is today's service, **2016** the prerequisites page of that year to the letter.
"""


def rules(terms: Terms = PYTHON) -> str:
    """The page as Markdown; `terms` write the options."""
    parts = [_HEAD]
    for area, title in _AREAS.items():
        listed = [rule for rule in RULES if rule.id.split("-")[1] == area]
        parts.append(f"## {title} ({area})\n")
        parts += [_rule(rule, terms) for rule in sorted(listed, key=lambda rule: rule.id)]
    parts.append(_coverage())
    return "\n".join(parts)


def _rule(rule: Rule, terms: Terms) -> str:
    profiles = "both profiles" if len(rule.profiles) == len(Profile) else f"profile {rule.profiles[0].value}"
    routes = "all routes" if len(rule.routes) == len(Route) else "routes " + ", ".join(r.value for r in rule.routes)
    lines = [f"### {rule.id}: {rule.title}", "", f"{rule.verdict.value}; {routes}; {profiles}.", ""]
    if rule.predicts:
        lines.append(f"- AWS says: `{catalogue.words(rule.predicts)}`")
    if cure := actions(rule.cure):
        lines.append(f"- Cure: {'; '.join(action.text(terms) for action in cure)}.")
    lines += [f"- {one.line}" for one in rule.evidence]
    return "\n".join(lines) + "\n"


def _coverage() -> str:
    lines = [
        "## The 2016 page, bullet by bullet",
        "",
        "Every requirement and limitation of the page, with the rules that check it or the reason why a file cannot",
        "show it. Lines are those of the page as plain text.",
        "",
        "| line | section | requirement | checked by, or why not |",
        "|---|---|---|---|",
        *(_row(item) for item in REQUIREMENTS),
        "",
        "What today's guide adds and a file cannot show:",
        "",
        "| section | requirement | why not |",
        "|---|---|---|",
        *(f"| {item.section} | {item.says} | {item.reason} |" for item in TODAY),
        "",
    ]
    return "\n".join(lines)


def _row(item: Requirement) -> str:
    links = ", ".join(f"[{rule}](#{_anchor(rule)})" for rule in item.rules)
    return f"| {item.line} | {item.section} | {item.says} | {links or item.reason} |"


def _anchor(rule_id: str) -> str:
    title = next(rule.title for rule in RULES if rule.id == rule_id)
    text = f"{rule_id}: {title}".lower()
    return "".join(char if char.isalnum() or char in "-_" else "-" if char == " " else "" for char in text)
