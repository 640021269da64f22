"""`python -m benchmark` is the command `initbench`."""

from benchmark.cli import main

if __name__ == "__main__":
    main()
