"""The workspace on disk: one JSON record per trial, and the claims that keep two runs from training the same trial."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["diff", "looks", "record_store", "records", "sample_grids", "trial_claims", "workspace"]
