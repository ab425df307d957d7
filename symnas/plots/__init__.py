"""Figures, as plotly figures."""

from symnas.plots.anytime import over_time as over_time
from symnas.plots.architecture import architecture as architecture
from symnas.plots.best_so_far import best_so_far as best_so_far
from symnas.plots.curves import learning_curves as learning_curves
from symnas.plots.fronts import pareto_front as pareto_front
from symnas.plots.gantt import timeline as timeline
from symnas.plots.importance_bars import importance as importance
from symnas.plots.parallel import parallel_coordinates as parallel_coordinates
from symnas.plots.predicted_curve import predicted_curves as predicted_curves
from symnas.plots.regret import regret as regret
from symnas.plots.slice_panels import slices as slices
