"""The command line: each verb a thin call of the public function of the same name, whose docstring is its help.

Exit status: 0 success, 1 a fault that is ours, 2 refused input or usage, 3 some sections of a sample sheet did not
finish.
"""

import sys

from cyclopts import CycloptsError
from rich.markup import escape

from histoscribe.cli import domains as _domains  # noqa: F401
from histoscribe.cli import maps as _maps  # noqa: F401
from histoscribe.cli import nuclei as _nuclei  # noqa: F401
from histoscribe.cli import predicting as _predicting  # noqa: F401  (importing a module registers its verbs)
from histoscribe.cli import sections as _sections  # noqa: F401  (importing a module registers its verbs)
from histoscribe.cli.app import REFUSED, app, err
from histoscribe.errors import HistoscribeError


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    try:
        status = app(arguments, exit_on_error=False, print_error=False)
    except HistoscribeError as error:
        err.print(f"[red]refused[/red] {escape(str(error))}")
        status = REFUSED
    except CycloptsError as error:
        err.print(escape(f"{error}\nto mend it: histoscribe --help lists the commands and their options"))
        status = REFUSED
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on from here")
        status = 130
    sys.exit(status if isinstance(status, int) else 0)
