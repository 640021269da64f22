"""What the commands do, a module for each family: cli.py only reads the command line."""
