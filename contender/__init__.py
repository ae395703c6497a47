"""Composes the whole: the command line, the embedded services, the one-command run."""
