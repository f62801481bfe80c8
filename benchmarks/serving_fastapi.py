"""A plain FastAPI app, beside which `serving.py` measures: `python serving_fastapi.py MODEL PORT`.

Every request is one call of PyTorch, in a thread of FastAPI's pool.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from headstart.deploy.classifier import Classifier

app = FastAPI()
classifier = Classifier.load(sys.argv[1])


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """Classify the image in the body."""
    (found,) = await run_in_threadpool(classifier.predict, [await request.body()])
    return {"class": found.label, "probability": found.probability}


uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
