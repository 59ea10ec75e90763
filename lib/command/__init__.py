"""The command line, and what it makes of notebooks: figures, a gallery."""

import sys


def main() -> int:
    """Run the command of the process; return the exit status, that of an interruption included."""
    try:
        from lib.command import cli  # here: what it imports takes seconds, which can be interrupted

        return cli.main()
    except ValueError as error:  # of a room that cannot be taken in
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interruption:
        kept = str(interruption) or "nothing is lost"
        print(f"interrupted: {kept}, the same command continues", file=sys.stderr)
        return 130
