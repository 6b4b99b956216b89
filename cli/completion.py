"""Print a completion script for a shell. It completes commands, options, graphs, parts and diagnostics."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from . import commands

EXAMPLES = """
    eval "$(graphvlm completion bash)"                     # in ~/.bashrc
    eval "$(graphvlm completion zsh)"                      # in ~/.zshrc, after compinit
    graphvlm completion fish > ~/.config/fish/completions/graphvlm.fish
"""

# Each script hands the words before the cursor to `graphvlm __complete` and offers the lines that come back.
SCRIPTS = {
    "bash": """\
_graphvlm() {
    local IFS=$'\\n'
    COMPREPLY=($(graphvlm __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _graphvlm graphvlm
""",
    "zsh": """\
_graphvlm() {
    local -a found
    found=(${(f)"$(graphvlm __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -a found; else _files; fi
}
compdef _graphvlm graphvlm
""",
    "fish": """\
function __graphvlm
    set -l words (commandline -opc) (commandline -ct)
    set -l found (graphvlm __complete $words[2..] 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c graphvlm -f -a '(__graphvlm)'
""",
}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SCRIPTS))


def run(args: argparse.Namespace) -> int:
    print(SCRIPTS[args.shell], end="")
    return 0


def candidates(words: list[str]) -> list[str]:
    """What the last word, which may be empty, can become. An empty list leaves it to the shell: files."""
    partial = words[-1] if words else ""
    if len(words) < 2:
        found: Iterable[str] = [*commands.SUMMARIES, "--help", "--version"]
    elif words[0] not in commands.SUMMARIES:
        found = ()
    else:
        found = _argument(commands.parser(words[0]), words[1:-1], partial)
    return sorted(word for word in found if word.startswith(partial))


def _argument(parser: argparse.ArgumentParser, before: list[str], partial: str) -> Iterable[str]:
    flags = {flag: action for action in parser._actions for flag in action.option_strings}
    places = [action for action in parser._actions if not action.option_strings]
    waiting = None  # the option whose argument comes next
    for word in before:
        option = None if waiting else flags.get(word)
        if option is None and waiting is None and places:
            places = places if places[0].nargs == "*" else places[1:]
        waiting = option if option is not None and option.nargs != 0 else None
    if waiting is None and partial.startswith("-"):
        return flags
    action = waiting or (places[0] if places else None)
    if action is None:
        return ()
    name = action.metavar if isinstance(action.metavar, str) else ""
    return action.choices or (NAMES[name](partial) if name in NAMES else ())


def _graphs(partial: str) -> Iterable[str]:
    from graphvlm import catalog

    beside = Path(partial).parent
    files = [str(path) for path in beside.glob("*") if path.suffix == ".yaml"] if beside.is_dir() else []
    return [*catalog.graphs(), *files]


def _parts(partial: str) -> Iterable[str]:
    from graphvlm import catalog

    return catalog.parts()


def _rules(partial: str) -> Iterable[str]:
    from graphvlm.rules import RULES

    return RULES


def _of_kind(kind: str) -> Callable[[str], Iterable[str]]:
    return lambda partial: [name.removeprefix(f"{kind}/") for name in _parts(partial) if name.startswith(f"{kind}/")]


# By the name that the help gives an argument.
NAMES: dict[str, Callable[[str], Iterable[str]]] = {
    "GRAPH": _graphs,
    "PART": _parts,
    "RULE": _rules,
    "ENCODER": _of_kind("encoder"),
    "PROJECTOR": _of_kind("projector"),
    "DECODER": _of_kind("decoder"),
}
