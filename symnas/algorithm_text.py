"""Algorithms written as text: `tpe`, `reinforce.nas_bench_201`, `tpe(num_startup=20)`,
and as they print: `TPE(num_startup=20)`."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from symnas.algorithm import Algorithm


def algorithm_from_text(text: str) -> Algorithm:
    """The algorithm that a text names, with what it sets; nothing in it is executed.

    Raises:
      ValueError: there is no such algorithm, setting or field, or no such value.

    Example:

    >>> algorithm_from_text("regularized_evolution(population_size=50)").population_size
    50
    >>> algorithm_from_text("RegularizedEvolution(population_size=50)").tournament_size
    25
    >>> algorithm_from_text("regularized_evolution.nas_bench_201").population_size
    10
    """
    name, setting, fields = parsed(text)
    kind = _kind(name)
    if setting is not None:
        settings = settings_of(kind)
        if setting not in settings:
            there = f"It has {', '.join(settings)}." if settings else "It has none."
            raise ValueError(f"`{name}` has no setting '{setting}'. {there}")
        made: Algorithm = getattr(kind, setting)()
        return made
    check_fields(name, fields, [str(key) for key in kind.__schema__.fields])
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(f"{text!r}: {error}") from None


def check_fields(name: str, fields: Iterable[str], known: Sequence[str]) -> None:
    """Raises `ValueError` for a field that is not known."""
    for field in fields:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1, cutoff=0.4)
            hint = f"Did you mean `{near[0]}`? " if near else ""
            raise ValueError(
                f"`{name}` has no field `{field}`. {hint}It has {', '.join(known)}."
            )


def settings_of(kind: type[Algorithm]) -> list[str]:
    """The names of class methods that make an algorithm as some paper used it."""
    return [
        name
        for name, value in vars(kind).items()
        if isinstance(value, classmethod) and not name.startswith("_")
    ]


def _kind(name: str) -> type[Algorithm]:
    from symnas import algorithms

    names = algorithms.by_name()
    if name in names:
        return names[name]
    for kind in names.values():
        if kind.__name__ == name:  # As it prints.
            return kind
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise ValueError(
        f"There is no algorithm {name!r}. {hint}There are "
        f"{', '.join(map(repr, sorted(names)))}."
    )


def parsed(text: str) -> tuple[str, str | None, dict[str, Any]]:
    """The name, the setting and the fields."""
    match _expression(text):
        case ast.Name(name):
            return name, None, {}
        case ast.Attribute(ast.Name(name), setting):
            return name, setting, {}
        case ast.Call(ast.Name(name), [], keywords) if all(k.arg for k in keywords):
            try:
                return (
                    name,
                    None,
                    {str(k.arg): ast.literal_eval(k.value) for k in keywords},
                )
            except ValueError:
                pass
    return text, None, {}


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None
