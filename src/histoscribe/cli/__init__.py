"""The command line: each verb a thin call of the public function of its name, with its docstring as help.

Exit status: 0 success, 1 a fault that is ours, 2 refused input or usage, 3 some sections of a sample sheet did not
finish, 130 or 143 stopped by Ctrl-C or by a signal.
"""

import sys
from contextlib import ExitStack

from cyclopts import CycloptsError
from rich.markup import escape

from histoscribe.cli import domains as _domains  # noqa: F401
from histoscribe.cli import maps as _maps  # noqa: F401
from histoscribe.cli import pictures as _pictures  # noqa: F401
from histoscribe.cli import predicting as _predicting  # noqa: F401  (importing a module registers its verbs)
from histoscribe.cli import sections as _sections  # noqa: F401  (importing a module registers its verbs)
from histoscribe.cli import viewing as _viewing  # noqa: F401
from histoscribe.cli.app import REFUSED, app, err
from histoscribe.cli.process import Terminated, stopped_by_signals, warnings_shown
from histoscribe.errors import OUT_OF_MEMORY, HistoscribeError


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    try:
        with ExitStack() as process:
            process.enter_context(stopped_by_signals())
            process.enter_context(warnings_shown(err))
            status = app(arguments, exit_on_error=False, print_error=False)
    except HistoscribeError as error:
        err.print(f"[red]refused[/red] {escape(str(error))}")
        status = REFUSED
    except CycloptsError as error:
        err.print(escape(f"{error}\nto fix it: histoscribe --help lists the commands and their options"))
        status = REFUSED
    except MemoryError:
        err.print(f"[red]refused[/red] {OUT_OF_MEMORY}")
        status = REFUSED
    except KeyboardInterrupt as stop:
        err.print("stopped; the same command continues from here")
        status = 143 if isinstance(stop, Terminated) else 130
    sys.exit(status if isinstance(status, int) else 0)
