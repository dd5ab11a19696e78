"""`python -m histoscribe` is the command line."""

from histoscribe.cli import main

main()
