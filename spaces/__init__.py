"""Search spaces of the literature, one file each."""

if __name__ == "spaces":
    raise ImportError(
        "Import `symnas.spaces`: plain `spaces` would be a second copy of every class."
    )

from symnas.spaces.darts import DARTS as DARTS
from symnas.spaces.mobilenet import MobileNetV3 as MobileNetV3
from symnas.spaces.nas_bench_101 import NASBench101 as NASBench101
from symnas.spaces.nas_bench_201 import NASBench201 as NASBench201
from symnas.spaces.space_by_default import SpaceByDefault as _SpaceByDefault


def by_name() -> dict[str, type]:
    """The spaces that have a name, which is that of their file.

    Called without an architecture each class is its search space.

    Example:

    >>> import symnas as sn
    >>> sn.SearchSpace(sn.spaces.by_name()["nas_bench_201"]()).size
    15625
    """
    return {
        value.__module__.rsplit(".", 1)[1]: value
        for value in globals().values()
        if isinstance(value, _SpaceByDefault)
    }
