"""docs/commands.md, from the parsers of the command line: every verb of `ddpm` with its options (`make docs`)."""

import argparse
from collections.abc import Iterator

from pipelines.cli import parser

HEAD = """# Commands

Every verb of `ddpm` with its options, as `ddpm VERB --help` shows them. `make docs` writes this page from the
code. Options may come before or after the verb. The [exit codes](stages.md#exit-codes) are the same for all.

"""
SHARED = "for every command"


def page() -> str:
    """The whole page."""
    top = parser()
    verbs = subcommands(top)
    parts = [HEAD, "| command | what it does |\n|---|---|\n"]
    parts += [f"| [`ddpm {name}`](#ddpm-{name}) | {cell(about)} |\n" for name, (about, _) in verbs.items()]
    parts += ["\n## Options of every command\n\n", *table(shared_actions(top))]
    for name, (_, verb) in verbs.items():
        parts += section(f"ddpm {name}", verb, 2)
    return "".join(parts)


def subcommands(of: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """The verbs below a parser by their names, each with its help; another name of a verb is left out."""
    found: dict[str, tuple[str, argparse.ArgumentParser]] = {}
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            found |= {name: (helps.get(name, ""), verb) for name, verb in action.choices.items() if name in helps}
    return found


def section(name: str, verb: argparse.ArgumentParser, depth: int) -> Iterator[str]:
    """A verb, and below it the actions that it has."""
    yield f"\n{'#' * depth} {name}\n\n{(verb.description or '').strip()}\n"
    own = [action for action in verb._actions if action not in shared_actions(verb) and is_shown(action)]
    below = subcommands(verb)
    positional = [named(action) for action in own if not action.option_strings]
    words = [name, *positional, *(["ACTION"] if below else [])]
    if any(action.option_strings for action in own):
        words.append("[options]")
    if words[1:]:
        yield f"\n```\n{' '.join(words)}\n```\n"
    if own:
        yield "\n"
        yield from table(own)
    for each, (about, action) in below.items():
        action.description = action.description or sentence(about)
        yield from section(f"{name} {each}", action, depth + 1)


def is_shown(action: argparse.Action) -> bool:
    hidden = isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
    return not hidden and action.help != argparse.SUPPRESS


def shared_actions(of: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for group in of._action_groups if group.title == SHARED for action in group._group_actions]


def table(actions: list[argparse.Action]) -> Iterator[str]:
    yield "| argument | meaning |\n|---|---|\n"
    for action in actions:
        names = ", ".join(f"`{each}`" for each in invocations(action))
        yield f"| {cell(names)} | {cell(meaning(action))} |\n"


def invocations(action: argparse.Action) -> list[str]:
    """`--n N`; of a positional argument its name."""
    if not action.option_strings:
        return [named(action)]
    value = "" if action.nargs == 0 else f" {named(action)}"
    return [f"{option}{value}" for option in action.option_strings]


def named(action: argparse.Action) -> str:
    """What stands for the value of an argument."""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    choices = list(action.choices or ())
    name = str(choices[0]) if len(choices) == 1 else action.metavar
    if name is None:
        name = action.dest.upper() if action.option_strings or not choices else "|".join(map(str, choices))
    return {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}.get(str(action.nargs), name)


def meaning(action: argparse.Action) -> str:
    """The help, with the choices and the default where it does not say them itself."""
    text = (action.help or "") % {**vars(action), "prog": "ddpm"}
    if action.choices and not all(str(choice) in text for choice in action.choices):
        text = f"{text + '; ' if text else ''}one of {', '.join(str(choice) for choice in action.choices)}"
    told = action.default not in (None, False, [], argparse.SUPPRESS) and "default" not in text
    if action.option_strings and told:
        text += f" (default: {action.default})"
    if action.required and action.option_strings:
        text += "; required"
    return text


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
