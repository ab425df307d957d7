"""Figures, as plotly figures."""

from symnas.plots.best_so_far import best_so_far as best_so_far
from symnas.plots.predicted_curve import predicted_curves as predicted_curves
from symnas.plots.regret import regret as regret
