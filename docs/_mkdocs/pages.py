"""Pages that are made from what stands elsewhere in the repository: tutorials, the API, changes.

MkDocs calls the functions `on_...`. Nothing that is made here is kept.
"""

from __future__ import annotations

import ast
import functools
import posixpath
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
# Files that are pages as they are, or that pages link to.
COPIES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "perf/README.md": "perf/scripts.md",
    "perf/results.json": "perf/results.json",
}
HELP = "<!-- symnas --help -->"


def on_config(config: Any) -> Any:
    """Puts the pages that are made into the navigation."""
    titles = {
        "tutorials/*.md": [
            {_title(path): f"tutorials/{path.stem}.md"} for path in tutorials()
        ],
        "api/*.md": [{name: f"api/{name}.md"} for name in api_pages()],
    }
    for section in config.nav:
        for title, entry in section.items():
            if isinstance(entry, str):
                section[title] = titles.get(entry, entry)
            else:
                for item in entry:
                    item.update({t: titles.get(e, e) for t, e in item.items()})
    return config


def on_files(files: Any, config: Any) -> Any:
    for source, target in COPIES.items():
        path = str(ROOT / source)
        files.append(File.generated(config, target, abs_src_path=path))
    made = {f"tutorials/{p.stem}.md": tutorial_page(p.read_text()) for p in tutorials()}
    made |= {f"api/{name}.md": page for name, page in api_pages().items()}
    for target, text in made.items():
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    text = with_output(markdown.replace(HELP, command() if HELP in markdown else ""))
    return links_into_the_site(text, page.file.src_uri)


# --- Tutorials --------------------------------------------------------------------------


def tutorials() -> list[Path]:
    return sorted((ROOT / "tutorials").glob("*.py"))


def _title(path: Path) -> str:
    first = path.read_text().lstrip('"').splitlines()[0]
    return first[3:].partition(":")[0]


def tutorial_page(script: str) -> str:
    """A numbered script as a page: comments that stand alone are its prose."""
    docstring, _, body = script.removeprefix('"""').partition('"""')
    title, _, rest = docstring.strip().partition("\n")
    parts = [f"# {title[3:].rstrip('.')}", textwrap.dedent(rest).strip()]
    code = ""
    for block, gap in re.findall(r"(?s)(.+?)(\n\n+|\Z)", body.strip("\n")):
        prose = _prose(block)
        if prose is None:
            code += block + gap
        else:
            parts += [_code(code), prose]
            code = ""
    return "\n\n".join(part for part in [*parts, _code(code)] if part) + "\n"


def _prose(block: str) -> str | None:
    lines = textwrap.dedent(block).splitlines()
    if not all(re.match(r"#( (?!> )|$)", line) for line in lines):
        return None
    text = "\n".join(line[2:] for line in lines)
    return re.sub(r"^%% (.*)\n?", r"## \1\n\n", text).strip()


def _code(lines: str) -> str:
    """Code that stands between prose, without the indentation that all of it has."""
    code = textwrap.dedent(lines.strip("\n")).replace("  # fmt: skip", "")
    return code and f"```python\n{code}\n```"


# --- Code and what it prints --------------------------------------------------------------


def with_output(markdown: str) -> str:
    """Shows lines `# > ...` of Python blocks as what the code above them has printed."""
    return re.sub(r"(?ms)^```python\n(.*?)^```$", _split, markdown)


def _split(match: re.Match[str]) -> str:
    pieces = re.split(r"(?m)((?:^# >.*\n)+)", match[1])
    shown = []
    for i, piece in enumerate(pieces):
        if i % 2:
            printed = re.sub(r"(?m)^# > ?", "", piece)
            shown.append(f"```text {{ .output }}\n{printed}```")
        elif piece.strip():
            shown.append("```python\n" + piece.strip("\n") + "\n```")
    return "\n\n".join(shown)


# --- The command --------------------------------------------------------------------------


def command() -> str:
    """What `--help` says of the command and its subcommands."""
    typer = [sys.executable, "-m", "typer", "symnas.cli", "utils", "docs"]
    ran = subprocess.run(
        [*typer, "--name", "symnas"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,  # The error below shows what was printed.
    )
    if ran.returncode:
        raise PluginError(f"`symnas --help` failed.\n{ran.stderr}")
    _, _, subcommands = ran.stdout.partition("\n## ")
    return f"## {subcommands}"


# --- Links --------------------------------------------------------------------------------


def links_into_the_site(markdown: str, page: str) -> str:
    """Lets links to files of the repository lead to the pages that are made of them."""
    if page in COPIES.values():
        return markdown

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(
            posixpath.join("docs", posixpath.dirname(page), match[1])
        )
        if path.startswith("docs/"):
            return match[0]
        path = COPIES.get(path, path)
        if path.startswith("tutorials/"):
            path = path.removesuffix(".py") + ".md"
        return f"]({posixpath.relpath(path, posixpath.dirname(page) or '.')}"

    return re.sub(r"\]\((\.\./[^)#\s]+)", target, markdown)


# --- API ----------------------------------------------------------------------------------


@functools.cache
def api_pages() -> dict[str, str]:
    """A page for the names of `symnas`, and one for each module below it that has names."""
    _, modules = public_names("symnas")
    packages = [init.parent.name for init in ROOT.glob("symnas/*/__init__.py")]
    shown: set[str] = set()
    pages = {}
    for module in ["symnas", *(f"symnas.{m}" for m in sorted({*modules, *packages}))]:
        names, _ = public_names(module)
        origins = {name: origin(module, name) for name in names}
        new = [name for name in names if origins[name] not in shown]
        shown |= set(origins.values())
        if new or module.removeprefix("symnas.") in modules:
            pages[module] = _api_page(module, new)
    return pages


def _api_page(module: str, names: list[str]) -> str:
    docstring = ast.get_docstring(ast.parse(_file(module).read_text())) or ""
    objects = [f"::: {module}.{name}" for name in names]
    return "\n\n".join([f"# {module}", docstring, *objects])


@functools.cache
def public_names(module: str) -> tuple[dict[str, str], list[str]]:
    """The names of a module with the modules that define them; and the modules it names."""
    names, modules = {}, []
    body = ast.parse(_file(module).read_text()).body
    for node in [*body, *(n for b in body if isinstance(b, ast.If) for n in b.body)]:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names[node.name] = module
        if isinstance(node, ast.ImportFrom):
            public = [alias.name for alias in node.names if alias.asname == alias.name]
            if node.module == "symnas":
                modules += public
            else:
                names |= dict.fromkeys(public, node.module)
    public = {name: where for name, where in names.items() if name[0] != "_"}
    return (public, modules) if module != "symnas.nn" else ({}, [])


def origin(module: str, name: str) -> str:
    """The module that defines a name, with the name."""
    where = public_names(module)[0].get(name, module)
    return f"{module}.{name}" if where == module else origin(where, name)


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
