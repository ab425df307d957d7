"""LC-PFN: learning curves, extrapolated by a network that knows a prior over them."""
