"""Where evaluations run: in this process, in processes of this machine, on Ray."""

from symnas.engines.engine import EngineError as EngineError
