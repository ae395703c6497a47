"""The management endpoints, for administrators: aliases, learning_control, configurations."""

from flask_openapi3.openapi import OpenAPI

from serving.http import alias_routes, learning_admin_routes, task_routes
from serving.http.management import KINDS as KINDS
from serving.http.management import ManagementContext


def add(app: OpenAPI, context: ManagementContext) -> None:
    """Adds them to an app in which `web.roles` is installed: it lets administrators in, and nobody else."""
    alias_routes.add(app, context)
    learning_admin_routes.add(app, context)
    task_routes.add(app, context)
