"""The training loop, its checkpoints, and two optional ways to run it: captured as graphs, or seeds as one model."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["checkpoint", "cuda_graphs", "graphs", "recorded_graphs", "trainer", "vmapped"]
