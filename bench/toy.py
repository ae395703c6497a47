"""The server that people write first: FastAPI, one River model in memory, nothing kept. `python bench/toy.py PORT`."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from river import linear_model, preprocessing


class Row(BaseModel):
    features: dict[str, float]
    target: float


def make() -> FastAPI:
    app = FastAPI()
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict_learn")
    async def predict_learn(row: Row) -> dict[str, float]:
        predicted = model.predict_one(row.features)
        model.learn_one(row.features, row.target)
        return {"prediction": predicted}

    return app


if __name__ == "__main__":
    uvicorn.run(make(), host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
