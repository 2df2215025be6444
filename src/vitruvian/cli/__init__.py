"""The command line: words for verbs."""
