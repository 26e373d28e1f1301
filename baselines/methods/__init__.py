"""One file per method; `baselines.METHODS` registers them by name."""
