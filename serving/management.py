"""The management endpoints, for administrators: aliases, upkeep, configurations."""

from flask_openapi3.openapi import OpenAPI

from serving import alias_routes, configuration_routes, upkeep_routes
from serving.office import KINDS as KINDS
from serving.office import Office


def add(app: OpenAPI, office: Office) -> None:
    """Adds them to an app in which `web.guard` is installed: it lets administrators in, and nobody else."""
    alias_routes.add(app, office)
    upkeep_routes.add(app, office)
    configuration_routes.add(app, office)
