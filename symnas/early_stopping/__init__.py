"""When to give up a trial: rules for `early_stopping=` of `sample` and `search`."""

from symnas.early_stopping.either import Either as Either
from symnas.early_stopping.learning_curve import LearningCurve as LearningCurve
from symnas.early_stopping.median_rule import MedianRule as MedianRule
from symnas.early_stopping.patience import Patience as Patience
from symnas.early_stopping.rule import Rule as Rule
from symnas.early_stopping.successive_halving import (
    SuccessiveHalving as SuccessiveHalving,
)
