"""Search spaces of the literature, one file each."""

if __name__ == "spaces":
    raise ImportError(
        "Import `symnas.spaces`: plain `spaces` would be a second copy of every class."
    )
