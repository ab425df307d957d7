"""Training a model, to learn how good its architecture is."""

from symnas.training.classifier import Classifier as Classifier
