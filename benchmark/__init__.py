"""Trains and evaluates the trials of a suite and reports them beside published values. It names no GAN."""

__version__ = "0.1.0"
