"""What the commands do, a module for each family: benchmark.cli only reads the command line."""
