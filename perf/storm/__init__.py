"""A storm: a real suite whose processes are killed at random moments, and whose results must be those of a calm run."""
