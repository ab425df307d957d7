"""The documentation builds without a warning, needs nothing from elsewhere, and is whole."""

import importlib
import importlib.util
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import symnas as sn

ROOT = Path(__file__).parents[1]


def test_the_site_builds_is_whole_and_needs_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    # One test: workers of pytest-xdist would build a site each.
    build(tmp_path)
    check_that_pages_load_nothing_from_elsewhere(tmp_path)
    check_that_styles_load_nothing_from_elsewhere(tmp_path)
    check_that_the_search_works_from_files(tmp_path)
    check_that_the_api_has_every_public_name(tmp_path)


def build(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,  # The assertion below shows what was printed.
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


class _Loads(HTMLParser):
    """The addresses that a browser fetches by itself for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [given["src"] or ""] if "src" in given else []
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(given["href"] or "")


def check_that_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loads = _Loads()
        loads.feed(page.read_text())
        assert len(loads.addresses) > 3
        for address in loads.addresses:
            assert not re.match(r"(\w+:)?//", address), f"{page} loads {address}"


def check_that_styles_load_nothing_from_elsewhere(site: Path) -> None:
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        text = style.read_text()
        assert not re.search(r"(url\(|@import)\s*[\"']?(\w+:)?//", text), style


def check_that_the_search_works_from_files(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    assert any("tournament_size" in page["text"] for page in index["docs"])
    script = (site / "search" / "search_index.js").read_text()
    assert script.startswith("var __index = {")
    assert "assets/iframe-worker.js" in (site / "index.html").read_text()


def headings(site: Path, module: str) -> set[str]:
    page = site / "api" / f"{module}.html"
    return set(re.findall(r'id="symnas\.[\w.]*?(\w+)"', page.read_text()))


def check_that_the_api_has_every_public_name(site: Path) -> None:
    packages = [sn.__name__, "symnas.stop_rules"]
    packages += [
        m.name for m in pkgutil.iter_modules(sn.__path__, "symnas.") if m.ispkg
    ]
    for name in packages:
        module = importlib.import_module(name)
        public = {
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and not inspect.ismodule(value)
            if getattr(value, "__module__", "").startswith("symnas")
        }
        shown = headings(site, "symnas")
        if not public <= shown:
            shown |= headings(site, name)
        assert public
        assert not public - shown


def hook() -> ModuleType:
    path = ROOT / "docs" / "_mkdocs" / "pages.py"
    spec = importlib.util.spec_from_file_location("site_pages", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = '''"""01 First: a title.

Run it.
"""

x = 1


def double(n):
    m = 2 * n

    return m  # A comment.


# %% Part
# Some
# text.

if x:
    z = 3

    # %% Another part

    # A comment.
    y = double(x)

    print(y)
    # > 2
'''
PAGE = """# First: a title

Run it.

```python
x = 1


def double(n):
    m = 2 * n

    return m  # A comment.
```

## Part

Some
text.

```python
if x:
    z = 3
```

## Another part

```python
# A comment.
y = double(x)

print(y)
```

```text { .output }
2
```
"""


def test_a_script_becomes_a_page() -> None:
    pages = hook()
    assert pages.with_output(pages.tutorial_page(SCRIPT)) == PAGE
