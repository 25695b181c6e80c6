"""cloud-init asks EC2 first: keys, user data and the network come from there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie.guest.linux.cloud_init import configs
from vmie.guest.linux_facts import LinuxFacts
from vmie.repair import kernel_options
from vmie.repair.files import GuestFiles, encoded
from vmie.repair.kernel_options import OptionScope
from vmie.repair.model import Edit, Left, Mend

_RULE = "VMIE-LNX-008"
_WHY = "cloud-init asks EC2's metadata, which has the key to log in with"
_LIST = "datasource_list: [ Ec2, None ]\n"
#: a list in one line, over several in brackets, or as a block
_LISTED = re.compile(
    r"^[\"']?datasource_list[\"']?:[ \t]*(?:\[[^\]]*\][^\n]*\n?|[^\s\[#][^\n]*\n?|(?:#[^\n]*)?\n(?:[ \t]*-[^\n]*\n?)*)",
    re.MULTILINE,
)
_MAIN = "/etc/cloud/cloud.cfg"
_IDENTIFY = "/etc/cloud/ds-identify.cfg"
_OPTIONS = ("ds=", "ci.ds=", "ci.datasource=")


def _apply(files: GuestFiles) -> Iterator[Edit | Left]:
    cloud = files.facts.cloud_init if isinstance(files.facts, LinuxFacts) else None
    if cloud is None or not cloud.installed or cloud.ec2:
        return
    if cloud.disabled:
        yield Left(_RULE, f"cloud-init is disabled: {cloud.disabled}", "rm -f /etc/cloud/cloud-init.disabled")
        return
    yield from kernel_options.changed(files, _unbound, _WHY)
    identify = files.text(_IDENTIFY)
    if identify is not None:
        after = re.sub(r"^([ \t]*datasource:).*$", r"\1 Ec2", identify, flags=re.MULTILINE)
        if after != identify:
            yield Edit(_IDENTIFY, encoded(after), _WHY)
    listing = [path for path, text in configs(files.tree) if _LISTED.search(text)]
    path = listing[-1] if listing else _MAIN
    text = files.text(path)
    if text is not None:
        joined = text if text.endswith("\n") else text + "\n"
        yield Edit(path, encoded(_LISTED.sub(_LIST, text) if listing else joined + _LIST), _WHY)


def _unbound(words: list[str], _scope: OptionScope) -> list[str]:
    return [word for word in words if not word.startswith(_OPTIONS)]


_BY_HAND = "echo 'datasource_list: [ Ec2, None ]' > /etc/cloud/cloud.cfg.d/99-ec2.cfg"
CLOUD_INIT = Mend("cloud-init", (_RULE,), _apply, _BY_HAND)
