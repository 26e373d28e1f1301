"""One file per family of networks for points, which `baselines.NETWORKS` registers by name."""
