"""The commands `symnas spaces`, `algorithms` and `describe`: what there is to choose from."""

from __future__ import annotations

import inspect
import math
import re
import sys
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from symnas import algorithms, spaces
from symnas.algorithm_text import settings_of
from symnas.command_target import space_of
from symnas.description import describe
from symnas.progress import short
from symnas.search_command import Json, Space, print_json
from symnas.space import SearchSpace, literal

_MOST_CHOICES = 12  # That are shown of a decision.


def list_spaces(as_json: Json = False) -> None:
    """Show the search spaces that come with symnas: size, decisions, paper."""
    rows: list[dict[str, Any]] = []
    for name, made in spaces.by_name().items():
        space = SearchSpace(made(), getattr(made, "constraint", None))
        rows.append(
            {
                "name": name,
                "title": _title(made),
                "size": None if space.size == math.inf else space.size,
                "size_is_exact": space.size_is_exact,
                "decisions": len(space.decisions),
                "source": _source(made),
            }
        )
    if as_json:
        print_json(rows)
        return
    table = _table("space", "examples", "decisions", "what it is, and its source")
    for row in rows:
        about = Text(f"{row['title']}\n") + Text(row["source"], style="dim")
        size = _size(row["size"], row["size_is_exact"])
        table.add_row(row["name"], size, str(row["decisions"]), about)
    Console().print(table)


def list_algorithms(as_json: Json = False) -> None:
    """Show the search algorithms: their settings, defaults and papers."""
    rows: list[dict[str, Any]] = []
    for name, kind in algorithms.by_name().items():
        if any(row["class"] == kind.__name__ for row in rows):
            continue  # A second name.
        fields = dict(kind().sym_init_args.items())
        rows.append(
            {
                "name": name,
                "class": kind.__name__,
                "title": _title(kind),
                "defaults": fields,
                "settings": settings_of(kind),
                "source": _source(kind),
            }
        )
    if as_json:
        print_json(rows)
        return
    table = _table("algorithm", "what it is, its defaults and its source")
    for row in rows:
        given = ", ".join(f"{key}={value!r}" for key, value in row["defaults"].items())
        about = Text(f"{row['title']}\n")
        if given:
            about += Text(f"{given}\n")
        for setting in row["settings"]:
            about += Text(f"also {row['name']}.{setting}\n")
        table.add_row(row["name"], about + Text(row["source"], style="dim"))
    Console().print(table)


def describe_space(
    space: Space,
    seed: Annotated[int, typer.Option(min=0, help="Of the example.")] = 0,
    as_json: Json = False,
) -> None:
    """Show a search space: how large it is, its decisions, and a random example.

    `symnas describe my_model:space`
    """
    found = space_of(space)
    genotype = found.random(np.random.default_rng(seed), 1)[0]
    example = _example(found, genotype)
    if as_json:
        print_json(_to_json(found, genotype, example))
        return
    console = Console()
    size = _size(None if found.size == math.inf else found.size, found.size_is_exact)
    console.print(
        f"{space}: {len(found.decisions)} decisions, {size} examples",
        markup=False,
        highlight=False,
    )
    table = _table("decision", "kind", "choices", "active if")
    for decision in found.decisions:
        table.add_row(
            Text(decision.label),
            f"{decision.slots} of" if decision.many else decision.kind,
            Text(_choices(decision)),
            Text(decision.when),
        )
    console.print(table)
    console.print(f"A random example (seed {seed}):")
    console.print(Text(example))


def _example(space: SearchSpace, genotype: Any) -> str:
    """The code of an example; its decisions, where code is traced."""
    try:
        return describe(space.symbolic(genotype))
    except ValueError:
        values = space.values(genotype).items()
        return "\n".join(f"{name} = {short(value)}" for name, value in values)


def _to_json(space: SearchSpace, genotype: Any, example: str) -> dict[str, Any]:
    return {
        "size": None if space.size == math.inf else space.size,
        "size_is_exact": space.size_is_exact,
        "decisions": [
            {
                "name": decision.label,
                "kind": decision.kind,
                "slots": decision.slots,
                "scale": decision.scale,
                "choices": [literal(choice) for choice in decision.choices]
                if decision.kind == "choice"
                else [decision.choices[0], decision.choices[-1]],
                "active_if": decision.when or None,
            }
            for decision in space.decisions
        ],
        "example": {"decisions": space.values(genotype), "code": example},
    }


def _choices(decision: Any) -> str:
    scale = "" if decision.scale == "linear" else f" ({decision.scale} scale)"
    if decision.kind == "float":
        low, high = decision.choices
        return f"{low:g} to {high:g}{scale}"
    if decision.kind == "int":
        step = decision.choices.step
        every = "" if step == 1 else f" in steps of {step}"
        return f"{decision.choices[0]} to {decision.choices[-1]}{every}{scale}"
    shown = [short(literal(choice)) for choice in decision.choices[:_MOST_CHOICES]]
    more = len(decision.choices) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _size(size: float | None, exact: bool) -> str:
    if size is None:
        return "infinitely many"
    text = f"{size:,}" if size < 1e9 else f"{size:.3g}"
    return text if exact else f"at most {text}"


def _title(kind: type) -> str:
    """The first sentence of what a class is."""
    paragraph = (inspect.getdoc(kind) or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _source(kind: type) -> str:
    """The first reference of the file in which a class stands."""
    text = sys.modules[kind.__module__].__doc__ or ""
    found = re.search(r"^\[1\] (.*?)(?=^\[2\]|\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table
