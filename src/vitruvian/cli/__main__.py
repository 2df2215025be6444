"""`python -m vitruvian.cli` is the command `vitruvian`."""

from vitruvian.cli.app import main

main()
