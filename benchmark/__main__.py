"""Lets `python -m benchmark` start the command line."""

from benchmark.cli import main

if __name__ == "__main__":
    main()
