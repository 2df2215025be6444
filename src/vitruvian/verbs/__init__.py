"""The commands, one function each: the same in Python and on the command line."""
