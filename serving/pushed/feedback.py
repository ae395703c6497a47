"""Feedback of people on predictions."""

from typing import Any

import sqlalchemy as sa

from core.db.engine import fetch_all, transaction
from core.db.event_tables import feedback


def keep(engine: sa.Engine, task: str, message: str, prediction_id: str | int | None, rating: int | None) -> int:
    """Stores a message and returns its number."""
    prediction = None if prediction_id is None else str(prediction_id)
    statement = sa.insert(feedback).values(task=task, message=message, prediction_id=prediction, rating=rating)
    with transaction(engine) as connection:
        number: int = connection.execute(statement.returning(feedback.c.id)).scalar_one()
    return number


def listed(engine: sa.Engine, task: str, limit: int) -> list[dict[str, Any]]:
    """The newest messages of a task, newest first."""
    statement = sa.select(feedback).where(feedback.c.task == task).order_by(feedback.c.id.desc()).limit(limit)
    rows = fetch_all(engine, statement)
    return [
        {
            "id": row.id,
            "message": row.message,
            "prediction_id": row.prediction_id,
            "rating": row.rating,
            "received_at": row.received_at.isoformat(),
        }
        for row in rows
    ]
