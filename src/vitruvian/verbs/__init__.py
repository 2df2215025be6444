"""What a user asks for, one function each: the same in Python and on the command line."""
