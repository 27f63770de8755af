"""Defaults of options from ``dentryproof.toml``, or the table ``[tool.dentryproof]`` of ``pyproject.toml``.

The nearest of the two, from the current folder upwards, counts, and of one folder ``dentryproof.toml``. A key
is a long option without its dashes; a table with the name of a command holds for that command alone. What the
command line says wins. Names of files are relative to the file that says them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import InputError

NAMES = ("dentryproof.toml", "pyproject.toml")
_NOT_HERE = frozenset({"help", "version", "list", "all", "output", "update-baseline", "write", "config"})
"""What only the command line can say: which thing to do once, and where to."""


def nearest(folder: Path) -> Path | None:
    """The file whose settings hold in `folder`; None if there is none. InputError if it cannot be read."""
    for place in (folder, *folder.parents):
        for name in NAMES:
            if (place / name).is_file() and _settings(place / name) is not None:
                return place / name
    return None


def defaults(file: Path, command: click.Command, commands: Mapping[str, click.Command]) -> dict[str, Any]:
    """Defaults of the options of `command`, one of `commands`, as click's ``default_map`` takes them.

    InputError for a file that cannot be read, for a key that is no option of any command and for a value of
    the wrong kind.
    """
    settings = _settings(file)
    if settings is None:
        raise InputError(f"{file} has no settings for dentryproof")
    wide = {k: v for k, v in settings.items() if not isinstance(v, dict)}
    found: dict[str, Any] = {}
    for key, value in wide.items():
        if not any(_option(c, key) for c in commands.values()):
            raise _unknown(file, key, commands)
        option = _option(command, key)
        if option is not None and option.name:
            found[option.name] = _value(file, key, value, option)
    for name, table in settings.items():
        if not isinstance(table, dict):
            continue
        if name not in commands:
            raise InputError(f"{file}: unknown table [{name}]: there is no such command")
        for key, value in table.items():
            option = _option(commands[name], key)
            if option is None or not option.name:
                raise _unknown(file, key, {name: commands[name]}, f" (in [{name}])")
            checked = _value(file, key, value, option)
            if commands[name] is command:
                found[option.name] = checked
    return found


def _settings(file: Path) -> dict[str, Any] | None:
    """What a file says to this tool; None where it is a ``pyproject.toml`` that says nothing to it."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no TOML: {error}") from error
    if file.name != "pyproject.toml":
        return data
    tools = data.get("tool")
    own = tools.get("dentryproof") if isinstance(tools, dict) else None
    return own if isinstance(own, dict) else None


def _option(command: click.Command, key: str) -> click.Option | None:
    """The option that a key means."""
    if key in _NOT_HERE:
        return None
    options = (p for p in command.params if isinstance(p, click.Option))
    return next((o for o in options if f"--{key}" in o.opts), None)


def _unknown(file: Path, key: str, commands: Mapping[str, click.Command], where: str = "") -> InputError:
    """The error for a key that is no option of these commands."""
    from ..proofs.names import unknown

    if key in _NOT_HERE:
        return InputError(f"{file}: {key!r} can only be said on the command line")
    options = (p for c in commands.values() for p in c.params if isinstance(p, click.Option))
    known = {n[2:] for o in options for n in o.opts if n.startswith("--")}
    return InputError(f"{file}: {unknown('key', key, known - _NOT_HERE)}{where}")


def _value(file: Path, key: str, value: Any, option: click.Option) -> Any:
    """The value as click takes it: numbers as text, so that they pass the checks of the command line."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise InputError(f"{file}: {key} is true or false, not {value!r}")
        return value
    items = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not option.multiple:
        raise InputError(f"{file}: {key} is one value, not a list")
    if any(isinstance(i, bool) or not isinstance(i, str | int | float) for i in items):
        raise InputError(f"{file}: {key} is a text or a number, not {value!r}")
    told = [str(file.parent / i) if isinstance(option.type, click.Path) else str(i) for i in items]
    return told if option.multiple else told[0]
