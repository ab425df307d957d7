"""Every public name has a docstring, its examples run, and what users call has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import symnas as sn

MODULES = ["symnas"] + [
    module.name
    for module in pkgutil.walk_packages(sn.__path__, "symnas.")
    if not module.name.startswith(("symnas.demo", "symnas.cli"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run_as_printed(name):
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    results = doctest.testmod(module, optionflags=flags, raise_on_error=False)
    assert results.failed == 0


def public_names():
    for module in (
        sn,
        sn.algorithms,
        sn.benchmarks,
        sn.callbacks,
        sn.export,
        sn.predictors,
        sn.early_stopping,
        sn.spaces,
        sn.stop_rules,
        sn.training,
    ):
        for name, value in vars(module).items():
            if name.startswith("_") or inspect.ismodule(value):
                continue
            if getattr(value, "__module__", "").startswith("symnas"):
                yield f"{module.__name__}.{name}", value


@pytest.mark.parametrize(("name", "value"), list(public_names()))
def test_every_public_name_has_a_docstring(name, value):
    text = inspect.getdoc(value)
    assert text
    assert text.strip().splitlines()[0].endswith((".", "?"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name, value in public_names()
        if callable(value)
        and name.rsplit(".", 1)[1]
        not in ("Result", "Trial", "Feedback", "PyGloveAlgorithm", "by_name")
    ],
)
def test_what_users_call_has_a_runnable_example(name, value):
    assert ">>>" in inspect.getdoc(value)
