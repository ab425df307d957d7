"""The decisions of a space as JSON: enough to read its genotypes without its code."""

from __future__ import annotations

import json
from typing import Any

from symnas.genotype import Decision, Entry
from symnas.layout import Layout
from symnas.space import SearchSpace, literal

_FIELDS = ("kind", "column", "count", "slots", "many", "distinct", "sorted", "scale")


def to_json(space: SearchSpace) -> str:
    """JSON of the decisions of a space; candidates that are built stand as code."""
    decisions = []
    for decision in space.decisions:
        data = {field: getattr(decision, field) for field in _FIELDS}
        if isinstance(decision.choices, range):
            values = decision.choices
            data["range"] = [values.start, values.stop, values.step]
        else:
            data["choices"] = [literal(choice) for choice in decision.choices]
        data.update(name=decision.name, path=decision.path)
        data.update(branches=decision.branches, children=decision.children)
        decisions.append(data)
    layout = space.layout
    return json.dumps(
        {
            "decisions": decisions,
            "branches": layout.branches,
            "traced": layout.traced,
        }
    )


def from_json(text: str) -> SearchSpace:
    """A space with these decisions, which builds nothing."""
    data = json.loads(text)
    decisions = []
    for item in data["decisions"]:
        path = item.pop("path")
        limits = item.pop("range", None)
        choices: Any = range(*limits) if limits else item.pop("choices")
        decisions.append(Decision(choices=choices, location=(None, path), **item))
    branches = [[Entry(*entry) for entry in entries] for entries in data["branches"]]
    return SearchSpace(Layout(decisions, branches, data["traced"]))


def outline(space: SearchSpace) -> str:
    """One line for each decision, for people to compare."""
    lines = []
    for decision in space.decisions:
        shown = ", ".join(str(literal(choice)) for choice in decision.choices[:50])
        slots = f" {decision.slots} of" if decision.many else ""
        rules = "" if decision.scale == "linear" else f", {decision.scale} scale"
        when = f", if {decision.when}" if decision.when else ""
        lines.append(f"{decision.label}:{slots} {decision.kind} [{shown}]{rules}{when}")
    return "\n".join(lines)
