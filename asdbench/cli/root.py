"""The root of the command line: errors become one sentence and exit code 2, an interruption exit code 130."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from typing import Any, NoReturn

import click

from asdbench.errors import UserError


class _Group(click.Group):
    """Lists commands in the order of use, and turns errors into one sentence and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from asdbench.errors import did_you_mean

            _fail(f"there is no command '{args[0]}'{did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        _mend_streams()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)  # a scheduler's request to stop: save what can be saved
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except UserError as error:
            _fail(str(error))
        except BrokenPipeError:
            _discard_output()  # the reader has gone (`| head`)
            sys.exit(0)
        except OSError as error:
            _discard_output()
            where = f"{error.filename}: " if error.filename else ""
            _fail(f"{where}{error.strerror or error}")
        except click.UsageError as error:
            _fail(error.format_message())
        except KeyboardInterrupt:
            goes_on = ctx.invoked_subcommand in ("run", "train", "data")
            hint = "; the same command continues where this one stopped" if goes_on else ""
            click.echo(f"interrupted{hint}", err=True)
            sys.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="asdbench")
def main() -> None:
    """Can generated anomalies be trusted to evaluate an anomalous sound detector, and how far?

    SPEC is a YAML file, or the name of a benchmark that ships with asdbench.
    """


def _mend_streams() -> None:
    """Make sure that there is somewhere to write to, and that tables can be printed in any encoding."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the life of the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _discard_output() -> None:
    """Have what is still to be written to standard output go nowhere, so that leaving says nothing more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)


def _fail(sentence: str) -> NoReturn:
    click.echo(f"asdbench: error: {' '.join(sentence.split())}", err=True)
    sys.exit(2)
