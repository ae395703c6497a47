"""Log lines: structured, on standard error, as text for people or JSON for collectors."""

import logging
import sys

import structlog


def configure_logs(log_format: str = "console", level: int = logging.INFO) -> None:
    """Send structlog and the standard library's loggers to standard error in one format."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True
    )


def get_log(name: str) -> structlog.stdlib.BoundLogger:
    """A logger with the name of its component, in brackets on a console and as `logger_name` in JSON."""
    log: structlog.stdlib.BoundLogger = structlog.get_logger(logger_name=name)
    return log
