"""The management endpoints, for administrators: aliases, learning_control, configurations."""

from flask_openapi3.openapi import OpenAPI

from serving import alias_routes, configuration_routes, learning_control_routes
from serving.management_context import KINDS as KINDS
from serving.management_context import ManagementContext


def add(app: OpenAPI, context: ManagementContext) -> None:
    """Adds them to an app in which `web.guard` is installed: it lets administrators in, and nobody else."""
    alias_routes.add(app, context)
    learning_control_routes.add(app, context)
    configuration_routes.add(app, context)
