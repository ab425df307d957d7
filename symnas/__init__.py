"""symnas: symbolic AutoML for PyTorch.

Write `oneof` or `floatv` where you are unsure, name an algorithm, get the best model.
"""

from symnas import algorithms as algorithms
from symnas import nn as nn
from symnas import spaces as spaces
from symnas import stop_rules as stop_rules
from symnas import training as training
from symnas.description import describe as describe
from symnas.hyper import derive as derive
from symnas.hyper import floatv as floatv
from symnas.hyper import intv as intv
from symnas.hyper import manyof as manyof
from symnas.hyper import oneof as oneof
from symnas.hyper import permutate as permutate
from symnas.hyper import share as share
from symnas.result import Result as Result
from symnas.sampling import sample as sample
from symnas.search import search as search
from symnas.serialization import from_json as from_json
from symnas.serialization import to_json as to_json
from symnas.space import SearchSpace as SearchSpace
from symnas.space import build as build
from symnas.symbolic import symbolic as symbolic
from symnas.symbolic import symbolize as symbolize
from symnas.trial import Feedback as Feedback
from symnas.trial import Trial as Trial

__version__ = "0.1.0"
