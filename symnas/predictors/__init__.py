"""Predictors: how well a network will do, before its training has ended."""

from symnas.predictors.lc_pfn.binned_distribution import (
    BinnedDistribution as BinnedDistribution,
)
from symnas.predictors.lc_pfn.distribution import CurveDistribution as CurveDistribution
from symnas.predictors.lc_pfn.normalizer import Normalizer as Normalizer
from symnas.predictors.lc_pfn.predictor import LCPFN as LCPFN
