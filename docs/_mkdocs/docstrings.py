"""How docstrings of symnas become Markdown: an extension of Griffe, which reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Fences examples, adds the papers a class cites, and gives algorithms their fields."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = one_name_a_line(fenced(obj.docstring.value))
            if obj.is_class:
                text = with_papers(text, obj.module.docstring)
            obj.docstring.value = text

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        comment = re.search(r"  # (.*)$", attr.source.rstrip())
        if attr.docstring is None and attr.parent.is_class and comment:
            attr.docstring = griffe.Docstring(comment[1], parent=attr)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        for kind in list(classes(pkg)):
            if any(base.name == "Algorithm" for base in kind.mro()):
                kind["__init__"] = initializer(kind)
        for kind in classes(pkg):
            for field in kind.attributes.values():
                field.labels.difference_update(
                    ("class-attribute", "instance-attribute")
                )


def fenced(text: str) -> str:
    """The docstring with its examples, which stand unindented, as blocks of code."""
    text = re.sub(r"(?m)^( *)Example:$", r"\1**Example**", text)
    return re.sub(r"(?m)((?:^>>> .*\n?)(?:^.+\n?)*)", r"```pycon\n\1\n```\n", text)


def one_name_a_line(text: str) -> str:
    """`a, b: text` under `Args:` and `Attributes:` as `a: text` and `b: text`."""
    pairs = r"(?m)^  (\w+), (\w+): (.*\n(?:^   +\S.*\n)*)"
    return re.sub(pairs, r"  \1: \3  \2: \3", text)


def with_papers(text: str, module: griffe.Docstring | None) -> str:
    """The docstring of a class with those of its module's references that it cites."""
    about = module.value if module else ""
    listed = re.findall(r"(?ms)^\[(\d)\] (.*?)(?=^\[|\n\n|\Z)", about)
    cited = set(re.findall(r"\d", " ".join(re.findall(r"\[[\d, ]+\]", text))))
    papers = [
        f"\\[{number}\\] {' '.join(paper.split())}"
        for number, paper in listed
        if number in cited
    ]
    return "\n\n".join([text, *papers])


def classes(module: griffe.Module) -> Iterator[griffe.Class]:
    for member in module.members.values():
        if not member.is_alias and member.is_class:
            yield member
        elif not member.is_alias and member.is_module:
            yield from classes(member)


def initializer(kind: griffe.Class) -> griffe.Function:
    """The signature of a class whose annotated fields are its arguments."""
    fields = {
        name: field
        for base in [*reversed(kind.mro()), kind]
        for name, field in base.attributes.items()
        if field.annotation is not None
        if "instance-attribute" in field.labels and not name.startswith("_")
        if "class-attribute" in field.labels or field.value is None
    }
    either = griffe.ParameterKind.positional_or_keyword
    parameters = [griffe.Parameter("self", kind=either)]
    for name, field in fields.items():
        parameters.append(
            griffe.Parameter(
                name, annotation=field.annotation, kind=either, default=field.value
            )
        )
    return griffe.Function(
        "__init__", parameters=griffe.Parameters(*parameters), parent=kind
    )
