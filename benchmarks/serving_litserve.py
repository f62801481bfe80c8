"""LitServe, beside which `serving.py` measures: `python serving_litserve.py MODEL PORT [PACKAGES]`.

Requests that arrive within 10 ms of each other are one batch of PyTorch. PACKAGES is a folder of packages, with
LitServe in it, which are found after the installed ones. LitServe reads annotations as objects, not as text.
"""

import sys
from typing import Any

from fastapi import Request

sys.path += sys.argv[3:]

import litserve as ls

from headstart.deploy.classifier import Classifier


class Api(ls.LitAPI):  # type: ignore[misc]
    """One model."""

    def setup(self, device: str) -> None:
        """Load it."""
        self.classifier = Classifier.load(sys.argv[1])

    def decode_request(self, request: Request) -> bytes:
        """Return the file of a form."""
        return bytes(request["content"].file.read())

    def predict(self, batch: list[bytes]) -> list[Any]:
        """Classify a batch."""
        return list(self.classifier.predict(list(batch)))

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Return what is said of one image."""
        return {"class": output.label, "probability": output.probability}


if __name__ == "__main__":
    server = ls.LitServer(Api(max_batch_size=16, batch_timeout=0.01), accelerator="cpu")
    server.run(port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
