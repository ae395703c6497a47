"""The baseline of the API's benchmark: a Flask route that returns a constant of the same shape.

`python bench/constant.py PORT WORKERS` serves it at /constant, under the API's own server and settings.
"""

import sys

from flask import Flask

from web.server import serve

ANSWER = {
    "prediction": "UP", "confidence": 0.5313373253493014, "threshold": 0.5, "model_source": "mlflow",
    "model_alias": "champion", "model_name": "spy", "model_version": 1, "contender": "base-rate",
    "as_of": "2018-12-31", "target_date": "2019-01-02", "data_source": "sample", "data_age_days": 2882, "stale": True,
    "beats_baseline": "no",
}  # fmt: skip


def make() -> Flask:
    app = Flask(__name__)

    @app.get("/constant")
    def route() -> dict[str, object]:
        return ANSWER

    return app


if __name__ == "__main__":
    serve("constant:make", host="127.0.0.1", port=int(sys.argv[1]), workers=int(sys.argv[2]), variable="BENCH")
