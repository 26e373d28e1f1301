"""The training loop, its checkpoints, and two optional ways to run it: CUDA graphs, and several seeds as one model."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["checkpoint", "cuda_graphs", "trainer", "vmapped"]
