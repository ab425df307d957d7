"""What follows a search: each trial, as it ends, goes to a file or a tracker."""

from symnas.callbacks.callback import Callback as Callback
from symnas.callbacks.json_lines import JsonLines as JsonLines
from symnas.callbacks.mlflow import MLflow as MLflow
from symnas.callbacks.tensorboard import TensorBoard as TensorBoard
