"""`python -m contender`."""

from contender.cli import main

main()
