"""`python -m opd.cli`: the same as `opd`."""

from opd.cli import main

main()
