"""The training loop, its checkpoints, and two optional wrappers around a step: CUDA graphs and seeds trained as one."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["checkpoint", "cuda_graphs", "loop", "trainer", "vmapped"]
