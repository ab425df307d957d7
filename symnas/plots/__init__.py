"""Figures, as plotly figures."""

from symnas.plots.architecture import architecture as architecture
from symnas.plots.best_so_far import best_so_far as best_so_far
from symnas.plots.regret import regret as regret
