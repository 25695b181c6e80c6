"""The verbs of the command line: the help names them all, and a verb's module is loaded when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vmie.cli.global_options import ABOUT, COMPLETION, GLOBALS, HELP
from vmie.cli.help_page import HelpPage, Row, Section


class Verb(NamedTuple):
    """One verb: a function of its module, or with `function` "" the group that its `build` makes."""

    module: str
    function: str
    summary: str


#: in the order of the help; a summary is the first sentence of the verb's own help
VERBS: Mapping[str, Verb] = {
    "setup-role": Verb(
        "setup_role", "setup_role", "Make the service role that VM Import/Export works as, or bring it up to date."
    ),
    "check": Verb("check", "check", "Show whether AWS will accept an image, and why not, without AWS."),
    "repair": Verb("repair", "repair", "Mend what a check finds in an image, in a layer over it."),
    "import": Verb("import_", "import_", "Bring a virtual machine into EC2."),
    "export": Verb(
        "export", "export", "Take a virtual machine out of EC2: an instance, an AMI, a snapshot or a volume."
    ),
    "tasks": Verb("tasks", "", "The import and export tasks of a Region, whoever started them."),
    "explain": Verb(
        "explain", "explain", "Explain a message of AWS, why a task failed, a rule of `vmie check`, or a limit."
    ),
    "doctor": Verb("doctor", "doctor", "Find what would stop an import or export, before it starts."),
    "limits": Verb("limits", "limits", "Show every limit of AWS: in 2016, today, vmie's own, and what is in use now."),
    "policy": Verb("policy", "", "Print least-privilege policies; nothing is asked of AWS."),
    "convert": Verb("convert", "convert", "Write a disk as stream-optimised VMDK, dynamic VHD, raw, qcow2 or VHDX."),
    "boot": Verb("boot", "boot", "Show whether a machine starts: here, in QEMU, or an AMI in EC2."),
    "diff": Verb("diff", "diff", "Show where two disks differ: which bytes, and which files by name."),
    "verify": Verb("verify", "verify", "Prove that a snapshot holds what was sent, block by block."),
    "upload": Verb("upload", "upload", "Send a disk to S3 in the form that EC2 takes; no EC2 call is made."),
    "resume": Verb(
        "jobs", "resume", "Resume a job or batch that was interrupted or failed; nothing is sent or created twice."
    ),
    "cancel": Verb("jobs", "cancel", "Cancel a job or batch: stop its tasks, abort its uploads, remove its objects."),
    "jobs": Verb("jobs", "jobs", "List the jobs and batches of this machine, newest first."),
    "batch": Verb("batch", "", "Many VMs from one plan file: resumable, under AWS's quotas."),
    "worker": Verb(
        "worker", "worker", "Work on the batches of a shared state, until Ctrl-C; start as many as there are machines."
    ),
    "sandbox": Verb("sandbox", "", "AWS offline, with VM Import/Export in it."),
}


def root_page() -> HelpPage:
    """What `vmie --help` shows."""
    options = (*(Row(one.shown, one.words) for one in GLOBALS), *COMPLETION, HELP)
    listed = tuple(Row(name, verb.summary) for name, verb in VERBS.items())
    return HelpPage(
        "vmie [OPTIONS] VERB [ARGUMENTS]", ABOUT, (Section("Verbs", listed), Section("Global options", options))
    )


def is_root_help(argv: list[str]) -> bool:
    """Whether that page is all that is asked for."""
    return argv in ([], ["--help"], ["-h"], ["help"])
