"""`ddpm doctor`: show what this machine has, and what is missing."""

import argparse
import sys

from pipelines.commands.common import Verbs, sentence


def add_to(verbs: Verbs) -> None:
    text = "show versions, devices, stores, free disk and what is missing"
    verb = verbs.add_parser("doctor", help=text, description=sentence(text))
    verb.set_defaults(action=doctor)


def doctor(args: argparse.Namespace) -> int:
    from pipelines.doctor import examine

    findings = examine(args.project)
    sys.stdout.write(findings.text())
    return 0 if findings.healthy else 1
