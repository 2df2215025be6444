"""Models: find people, cut them out, run the network, read what it says. They remember nothing."""
