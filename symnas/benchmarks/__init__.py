"""Tabular benchmarks: architectures that others have trained, behind one interface."""

from symnas.benchmarks.benchmark import Benchmark as Benchmark
from symnas.benchmarks.benchmark import Optimum as Optimum
from symnas.benchmarks.comparison import Comparison as Comparison
from symnas.benchmarks.comparison import Score as Score
from symnas.benchmarks.comparison import compare as compare
from symnas.benchmarks.darts import DARTSTable as DARTSTable
from symnas.benchmarks.evaluator import Evaluator as Evaluator
from symnas.benchmarks.hw_nas_bench import HWNASBench as HWNASBench
from symnas.benchmarks.nas_bench_101 import NASBench101 as NASBench101
from symnas.benchmarks.nas_bench_201 import NASBench201 as NASBench201
from symnas.benchmarks.robustness_nb201 import RobustnessNB201 as RobustnessNB201
from symnas.benchmarks.simulation import Simulation as Simulation
from symnas.benchmarks.simulation import TimeIsUp as TimeIsUp
