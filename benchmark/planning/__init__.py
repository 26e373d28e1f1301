"""What a run would do: the trials that are missing, the inputs they need, and their time and memory on this machine."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["calibrate", "claim_needs", "estimate", "gather", "looks", "plan", "prerequisites", "seed_needs"]
