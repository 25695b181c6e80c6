"""cloud-init: whether it runs on the next boot, and whether it will ask EC2 for keys, user data and the network.

Read as its own programs read it: the generator and ds-identify (tools/ds-identify,
https://docs.cloud-init.io/en/latest/explanation/boot.html, …/reference/ds-identify.html), then the list of
datasources: /etc/cloud/cloud.cfg and cloud.cfg.d/*.cfg, where the later file counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmie.guest.linux.devices import Devices
from vmie.guest.linux_facts import CloudInit
from vmie.guest.tree import Tree

_MAX_FILES = 100
_MAX_LINES = 2000
_NETWORK = re.compile(r"^[\"']?network[\"']?:", re.MULTILINE)
_PROGRAMS = ("/usr/bin/cloud-init", "/usr/local/bin/cloud-init", "/etc/cloud/cloud.cfg")
_IDENTIFY = ("/usr/lib/cloud-init/ds-identify", "/usr/libexec/cloud-init/ds-identify")
_UNITS = (
    *("system-generators/cloud-init-generator", "system/cloud-init.target", "system/cloud-init.service"),
    *("system/cloud-init-local.service", "system/cloud-init-main.service", "system/cloud-init-network.service"),
)
#: where a NoCloud datasource may lie on the disk itself
SEEDS = ("/var/lib/cloud/seed/nocloud", "/var/lib/cloud/seed/nocloud-net")
#: datasources that are found on any machine when a volume with their label is there, or files of theirs
_LABELS = {
    "nocloud": ("cidata", "CIDATA"),
    "configdrive": ("config-2", "CONFIG-2"),
    "opennebula": ("CONTEXT", "CDROM"),
    "rbxcloud": ("CLOUDMD", "cloudmd"),
}
_SEED_FILES = {
    "nocloud": (("meta-data", "user-data"), SEEDS),
    "ovf": (("ovf-env.xml",), ("/var/lib/cloud/seed/ovf",)),
    "opennebula": ((), ("/var/lib/cloud/seed/opennebula",)),
}
#: Ubuntu Core keeps what is written there
_WRITABLE = ("", "/writable/system-data")
_CONFIG_DRIVE = "/var/lib/cloud/seed/config_drive"
#: what NoCloud takes from the configuration itself
_INLINE = tuple(re.compile(rf"^[ \t]*{key}:", re.MULTILINE) for key in ("NoCloud", "user-data", "meta-data"))


def cloud_init(tree: Tree, cmdline: str, devices: Devices) -> CloudInit:
    """What cloud-init does on the next boot with the kernel's options `cmdline`."""
    if not tree.first(*_PROGRAMS):
        return CloudInit()
    options = dict(word.partition("=")[::2] for word in cmdline.split())
    settings = _settings(tree, options)
    listed, where = _listed(tree, options, settings)
    disabled = _disabled(tree, options, settings)
    ec2, why = _asks_ec2(tree, listed, devices)
    return CloudInit(
        installed=True,
        disabled=disabled,
        datasources=listed,
        ec2=ec2 and not disabled,
        why=why or where,
        # a configuration in these files goes before what EC2 says
        network=not any(_NETWORK.search(text) for _, text in configs(tree)),
        user=_user(tree),
    )


def _user(tree: Tree) -> str:
    """The account that it makes where no other is asked for: the last file that names one counts."""
    named = ""
    for _, text in configs(tree):
        depth = -1  # of the line that says default_user
        for line in text.splitlines()[:_MAX_LINES]:
            key, _, value = line.strip().partition(":")
            indent = len(line) - len(line.lstrip())
            if key == "default_user":
                depth = indent
            elif key and indent <= depth:
                depth = -1
            elif key == "name" and depth >= 0:
                named = value.partition("#")[0].strip().strip("\"'")
    return named


def configs(tree: Tree) -> Iterator[tuple[str, str]]:
    """(path, text) of the configuration's files, in the order in which they are merged."""
    folder = "/etc/cloud/cloud.cfg.d"
    names = [name for name in tree.listdir(folder) if name.endswith(".cfg")][:_MAX_FILES]
    for path in ("/etc/cloud/cloud.cfg", *(f"{folder}/{name}" for name in names)):
        if text := tree.text(path):
            yield path, text


def _settings(tree: Tree, options: dict[str, str]) -> dict[str, str]:
    """ds-identify's ``datasource`` and ``policy``; the kernel's options stand above its file."""
    found = {}
    for line in tree.lines("/etc/cloud/ds-identify.cfg"):
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            found[key.strip()] = value.strip().strip("\"'")
    for option, key in (("ci.ds", "datasource"), ("ci.datasource", "datasource"), ("ci.di.policy", "policy")):
        if option in options:
            found[key] = options[option]
    return found


def _disabled(tree: Tree, options: dict[str, str], settings: dict[str, str]) -> str:
    """What keeps it from running, "" when nothing does."""
    switch = options.get("cloud-init", "")
    if switch == "disabled":
        return "the kernel's option cloud-init=disabled"
    forced = switch == "enabled" or tree.exists("/etc/cloud/cloud-init.enabled")
    if not forced and tree.exists("/etc/cloud/cloud-init.disabled"):
        return "/etc/cloud/cloud-init.disabled"
    for unit in _UNITS:
        if tree.link(f"/etc/systemd/{unit}") == "/dev/null":
            return f"/etc/systemd/{unit} is masked"
    if "disabled" in settings.get("policy", "").split(","):
        return "the policy of ds-identify"
    return ""


def _listed(tree: Tree, options: dict[str, str], settings: dict[str, str]) -> tuple[tuple[str, ...] | None, str]:
    """The datasources that are tried and what says so; None is the list built in, which has EC2's."""
    if named := options.get("ds", "").partition(";")[0]:
        return (named,), f"the kernel's option ds={named}"
    if named := settings.get("datasource", ""):
        return (named,), "/etc/cloud/ds-identify.cfg"
    found: tuple[str, ...] | None = None
    where = ""
    for path, text in configs(tree):
        values = _datasource_list(text, by_line=bool(tree.first(*_IDENTIFY)))
        if values is not None:
            found, where = values or None, path
    return found, where


def _datasource_list(text: str, *, by_line: bool) -> tuple[str, ...] | None:
    """The value of ``datasource_list``; () when ds-identify, which reads single lines, takes it for empty."""
    match = None
    for match in re.finditer(r"^[\"']?datasource_list[\"']?:[ \t]*(.*)$", text, re.MULTILINE):  # noqa: B007 - the last
        pass
    if match is None:
        return None
    value = match[1].partition("#")[0].strip()
    rest = text[match.end() :]
    if value.startswith("["):
        if "]" not in value:
            value += rest.partition("]")[0].replace("\n", " ")
        items = value.strip("[] ").split(",")
    elif value:
        items = value.split(",")
    elif by_line:
        return ()
    else:
        block = re.match(r"(?:[ \t]*(?:#[^\n]*)?\n)*((?:[ \t]*-[^\n]*\n?|[ \t]*#[^\n]*\n|[ \t]*\n)*)", rest)
        lines = block[1].splitlines() if block else []
        items = [line.strip()[1:] for line in lines if line.strip().startswith("-")]
    names = (item.partition("#")[0].strip().strip("\"'") for item in items)
    return tuple(name for name in names if name)


def _asks_ec2(tree: Tree, listed: tuple[str, ...] | None, devices: Devices) -> tuple[bool, str]:
    """Whether EC2's datasource is the one that counts, and what comes before it."""
    if tree.exists("/var/lib/cloud/instance/manual-clean"):
        return False, "manual_cache_clean keeps the old machine's datasource"
    names = [name.lower() for name in listed] if listed is not None else ["configdrive", "nocloud", "ec2"]
    if "ec2" not in names:
        return False, ""
    for name in names[: names.index("ec2")]:
        if seed := _seed(tree, name):
            return False, f"{seed} is found first"
        if any(devices.find(f"LABEL={label}") is not None for label in _LABELS.get(name, ())):
            return False, f"a volume with the label {_LABELS[name][0]} is found first"
    return True, ""


def _seed(tree: Tree, name: str) -> str:
    """Where the datasource `name` finds all that it needs among the files, as ds-identify looks for it."""
    wanted, folders = _SEED_FILES.get(name, ((), ()))
    for folder in (f"{top}{one}" for top in _WRITABLE for one in folders):
        if tree.is_dir(folder) and all(tree.exists(f"{folder}/{file}") for file in wanted):
            return folder
    if name == "configdrive":
        versions = tree.listdir(f"{_CONFIG_DRIVE}/openstack")
        written = any(tree.exists(f"{_CONFIG_DRIVE}/openstack/{one}/meta_data.json") for one in versions)
        return _CONFIG_DRIVE if written else ""
    if name == "nocloud":
        texts = dict(configs(tree))
        said = (next((path for path, text in texts.items() if key.search(text)), "") for key in _INLINE)
        places = tuple(said)
        return places[0] if all(places) else ""
    return ""


def network_disabled(text: str) -> bool:
    """Whether `text` tells cloud-init to leave the network alone."""
    return bool(re.search(r"^network:\s*(?:\{\s*|\n[ \t]+)config:\s*[\"']?disabled", text, re.MULTILINE))
