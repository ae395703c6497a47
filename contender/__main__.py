"""`python -m contender`, and the console script `contender`."""

import sys


def main() -> None:
    """Runs the command line; Ctrl-C before it has begun ends it without a traceback."""
    try:
        from contender.cli.main import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
