"""The errors that Contender raises on purpose: what happened, to which thing, and what to do about it.

Exit codes and HTTP statuses are mapped from these classes once, at the edge (`core.jobs.runner`, `web.problems`).
"""


class ContenderError(Exception):
    """The base of all errors that a person is meant to read.

    `problem` says what happened and to what; `remedy` says what to do. Both are whole sentences.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class ConfigurationError(ContenderError):
    """A setting, a task file or a command that cannot work until a person changes it."""


class DataRefusedError(ContenderError):
    """Data that arrived and must not be used: a wrong shape, impossible values, a wrong series."""


class UnreachableError(ContenderError):
    """Something outside did not answer. A later attempt may succeed; an outage is never read as absence."""


class SourceUnreachableError(UnreachableError):
    """A data source did not answer, refused for now (rate limit), or answered with garbage."""


class RegistryUnreachableError(UnreachableError):
    """The MLflow server did not answer."""


class DatabaseUnreachableError(UnreachableError):
    """Postgres did not answer."""


class BusyError(UnreachableError):
    """Another process holds the lease that this work needs."""


class IntegrityError(ContenderError):
    """A stored artifact differs from its recorded digest: it is refused before anything is unpickled."""


class NotFoundError(ContenderError):
    """A named thing that does not exist: a task, a version."""
