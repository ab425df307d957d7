"""symnas: symbolic AutoML for PyTorch.

Write `oneof` or `floatv` where you are unsure, name an algorithm, get the best model.
"""

import importlib
from typing import TYPE_CHECKING, Any

from symnas import algorithms as algorithms
from symnas import callbacks as callbacks
from symnas import early_stopping as early_stopping
from symnas import nn as nn
from symnas import spaces as spaces
from symnas import stop_rules as stop_rules
from symnas import training as training
from symnas.budget import Budget as Budget
from symnas.constructors import symbolic as symbolic
from symnas.constructors import symbolize as symbolize
from symnas.description import describe as describe
from symnas.engines import EngineError as EngineError
from symnas.primitives import derive as derive
from symnas.primitives import floatv as floatv
from symnas.primitives import intv as intv
from symnas.primitives import manyof as manyof
from symnas.primitives import oneof as oneof
from symnas.primitives import permutate as permutate
from symnas.primitives import share as share
from symnas.result import Result as Result
from symnas.sampling import sample as sample
from symnas.searching import search as search
from symnas.serialization import from_json as from_json
from symnas.serialization import to_json as to_json
from symnas.space import SearchSpace as SearchSpace
from symnas.space import build as build
from symnas.storage import StorageError as StorageError
from symnas.storage import delete_study as delete_study
from symnas.storage import list_studies as list_studies
from symnas.storage import load_study as load_study
from symnas.trial import Feedback as Feedback
from symnas.trial import Trial as Trial

if TYPE_CHECKING:
    from symnas import benchmarks as benchmarks
    from symnas import plots as plots
    from symnas import predictors as predictors
    from symnas import proxies as proxies

__version__ = "0.1.0"

_WHEN_USED = (
    "benchmarks",
    "plots",
    "predictors",
    "proxies",
)  # Most programs do without.


def __getattr__(name: str) -> Any:
    if name in _WHEN_USED:
        return importlib.import_module(f"symnas.{name}")
    raise AttributeError(f"module 'symnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHEN_USED])
