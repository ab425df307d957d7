"""Figures, as plotly figures."""

from symnas.plots.regret import regret as regret
