"""The chaos test: a real run whose processes are killed at random moments must end with the results of an undisturbed
run.
"""
