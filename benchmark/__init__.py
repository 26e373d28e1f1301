"""The harness: suites in, trained and measured trials, a leaderboard out. It knows no GAN by name."""

__version__ = "0.1.0"
