"""Models as files: description, code, weights, ONNX and programs of `torch.export`.

Models come from a search, or from constructors that are symbolized. None of these
functions changes the model or a random generator.
"""

from symnas.export.folder import load as load
from symnas.export.folder import save as save
from symnas.export.onnx_file import to_onnx as to_onnx
from symnas.export.python_code import to_python as to_python
from symnas.export.torch_program import to_torch_export as to_torch_export
from symnas.export.weights import from_safetensors as from_safetensors
from symnas.export.weights import to_safetensors as to_safetensors
