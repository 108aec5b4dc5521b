"""The command line: what it accepts, what the commands do, and what is printed."""
