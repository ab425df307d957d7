"""Proxies written as text: `swap`, `jacob_cov`, `swap(batch_size=20)`."""

from __future__ import annotations

import dataclasses
import difflib
import re

from symnas import proxies
from symnas.algorithm_text import check_fields, parsed
from symnas.proxies.proxy import Proxy


def by_name() -> dict[str, type[Proxy]]:
    """The proxies: by the name of their file, or of their own where it holds several.

    >>> by_name()["jacob_cov"].__name__, by_name()["ntk_condition"].__name__
    ('JacobCov', 'NTKCondition')
    """
    found = {}
    for name, value in vars(proxies).items():
        if isinstance(value, type) and issubclass(value, Proxy) and value is not Proxy:
            file = value.__module__.rpartition(".")[2]
            words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
            same = file.replace("_", "") == name.lower()
            found[file if same else words.lower()] = value
    return found


def proxy_from_text(text: str) -> Proxy:
    """The proxy that a text names, with what it sets; nothing in it is executed.

    Raises:
      ValueError: there is no such proxy, field or value.

    Example:

    >>> proxy_from_text("swap(batch_size=20)").batch_size
    20
    """
    name, setting, fields = parsed(text)
    names = by_name()
    if name not in names or setting is not None:
        close = difflib.get_close_matches(name, names, n=2, cutoff=0.4)
        hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise ValueError(
            f"There is no proxy {text!r}. {hint}There are {', '.join(map(repr, names))}."
        )
    kind = names[name]
    check_fields(name, fields, [field.name for field in dataclasses.fields(kind)])
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(f"{text!r}: {error}") from None
