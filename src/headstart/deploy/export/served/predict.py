"""Classifies pictures with the model beside this file; needs only onnxruntime, numpy and Pillow.

python predict.py photo.jpg folder --format csv

from predict import Model
Model().predict(["photo.jpg"])
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnxruntime

from headstart.data.decoding.decode import SUFFIXES, Pixels, UndecodableError, View, decode, quiet_pillow
from headstart.data.decoding.pictures import name_of
from headstart.data.sources.debris import data_files
from headstart.disclosure import spreadsheet_text

BATCH = 16


class Model:
    """A classifier in an ONNX file.

    Args:
        path: the file; by default the one beside this module.
        threads: that one prediction may use; 0 lets ONNX Runtime decide.
    """

    def __init__(self, path: str | Path | None = None, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        place = Path(__file__).with_name("model.onnx") if path is None else Path(path)
        self._session = onnxruntime.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
        facts = self._session.get_modelmeta().custom_metadata_map
        self.classes: list[str] = json.loads(facts["classes"])
        rule = json.loads(facts["label_rule"])
        self.threshold: float | None = rule.get("threshold")
        self._answers: dict[str, Any] | None = json.loads(facts.get("answers", "null"))
        self._outputs = ["probabilities"]
        if any(each.name == "familiarity" for each in self._session.get_outputs()):
            self._outputs.append("familiarity")
        self._views = {
            each["name"]: View(each["resize"], each["size"], each["interpolation"])
            for each in json.loads(facts["inputs"])
        }

    @property
    def judged(self) -> bool:
        """Return whether answers come with the set of classes that may be right, and how familiar the picture is."""
        return self._answers is not None

    @property
    def judgements(self) -> list[str]:
        """The columns of a CSV that say how sure an answer is."""
        decision = ["decision"] if self._answers is not None and "costs" in self._answers else []
        return ["answer", "set", "familiarity", *decision] if self.judged else []

    def probabilities(self, pictures: Sequence[Any]) -> np.ndarray:
        """Return calibrated probabilities, float32 [n, classes], of paths, encoded bytes, PIL images or arrays.

        Raises:
            UndecodableError: one of them cannot be read as a picture.
        """
        found = [
            self._run([self._sized(each) for each in pictures[start : start + BATCH]])[0]
            for start in range(0, len(pictures), BATCH)
        ]
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)), np.float32)

    def predict(self, pictures: Sequence[Any]) -> list[dict[str, Any]]:
        """Return for each picture its name, class, probability and probabilities, or its name and an error."""
        return list(self.answers(pictures))

    def answers(self, pictures: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Yield what `predict` returns, batch by batch."""
        with quiet_pillow():
            for start in range(0, len(pictures), BATCH):
                names = [name_of(each, start + k) for k, each in enumerate(pictures[start : start + BATCH])]
                read = [self._tried(each) for each in pictures[start : start + BATCH]]
                sized = [each for each in read if not isinstance(each, str)]
                found = zip(*self._run(sized), strict=True) if sized else iter(())
                for name, each in zip(names, read, strict=True):
                    yield {"image": name, "error": each} if isinstance(each, str) else self._answer(name, *next(found))

    def _answer(self, name: str, scores: np.ndarray, share: float | None = None) -> dict[str, Any]:
        best = int(scores.argmax())
        label = self.classes[best]
        if self.threshold is not None:
            label = "|".join(c for c, score in zip(self.classes, scores, strict=True) if score > self.threshold)
        named = dict(zip(self.classes, map(float, scores), strict=True))
        found = {"image": name, "class": label, "probability": float(scores[best]), "probabilities": named}
        return found if self._answers is None else {**found, **self._said(scores, share, self._answers)}

    def _said(self, scores: np.ndarray, share: float | None, rule: dict[str, Any]) -> dict[str, Any]:
        """Return the answer, the set of classes, and which share of familiar pictures is no more familiar."""
        order = np.argsort(-scores, kind="stable")
        inside = [self.classes[k] for n, k in enumerate(order) if n == 0 or 1.0 - float(scores[k]) <= rule["most"]]
        vague = len(inside) > rule["most_named"] or len(inside) == len(self.classes) > 1
        strange = share is not None and float(share) <= rule["unfamiliar"]
        answer = "don't know" if vague or strange else "sure" if len(inside) == 1 else "one of"
        found = {"answer": answer, "set": inside, "familiarity": None if share is None else float(share)}
        return {**found, "decision": self._decision(scores, rule["costs"], strange)} if "costs" in rule else found

    def _decision(self, scores: np.ndarray, costs: dict[str, Any], strange: bool) -> str:
        """Return the class of least expected cost, or "ask"; an unfamiliar picture is asked about if anybody is."""
        sure = scores.astype(np.float64)
        expected = costs["mistake"] * (sure.sum() - sure)
        for right, answer, cost in costs["confusions"]:
            expected[answer] += (cost - costs["mistake"]) * sure[right]
        best, ask = int(expected.argmin()), costs["ask"]
        return "ask" if ask is not None and (strange or expected[best] > ask) else self.classes[best]

    def _tried(self, picture: Any) -> dict[str, Pixels] | str:
        try:
            return self._sized(picture)
        except UndecodableError as error:
            return str(error)

    def _sized(self, picture: Any) -> dict[str, Pixels]:
        return {name: decode(picture, view) for name, view in self._views.items()}

    def _run(self, sized: Sequence[dict[str, Pixels]]) -> list[np.ndarray]:
        """Return the probabilities and, of a model that can tell, how familiar the pictures are."""
        batch = {name: np.stack([each[name] for each in sized]) for name in self._views}
        found: list[np.ndarray] = self._session.run(self._outputs, batch)
        return found


def files_of(places: Sequence[str]) -> list[str]:
    """Return the places that are no folder, and of folders the pictures in them, without hidden files and the like."""
    found: list[str] = []
    for place in places:
        path = Path(place)
        if not path.is_dir():
            found.append(place)
            continue
        names = [str(PurePosixPath(file.relative_to(path))) for file in path.rglob("*")]
        pictures = sorted(name for name in data_files(names) if PurePosixPath(name).suffix.lower() in SUFFIXES)
        if not pictures:
            raise SystemExit(f"predict.py: {place}: no picture in it")
        found += [str(path / name) for name in pictures]
    return found


def show(model: Model, answers: Iterator[dict[str, Any]], form: str, top: int) -> int:
    """Print the answers; return the exit status: 1 if a picture could not be read."""
    writer = csv.writer(sys.stdout)
    if form == "csv":
        writer.writerow(
            ["image", "class", "probability", "error", *model.judgements, *map(spreadsheet_text, model.classes)]
        )
    unread = 0
    for answer in answers:
        if "error" in answer:
            unread += 1
            print(f"predict.py: {answer['image']}: {answer['error']}", file=sys.stderr)
        if form == "csv" and "error" in answer:
            empty = [""] * (len(model.judgements) + len(model.classes))
            writer.writerow([spreadsheet_text(answer["image"]), "", "", spreadsheet_text(answer["error"]), *empty])
        elif form == "csv":
            scores = [f"{each:.6f}" for each in answer["probabilities"].values()]
            names = map(spreadsheet_text, (answer["image"], answer["class"]))
            judged = _judgement(answer) if model.judged else []
            writer.writerow([*names, f"{answer['probability']:.6f}", "", *judged, *scores])
        elif form == "json":
            print(json.dumps(answer, ensure_ascii=False))
        elif "error" not in answer:
            ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:top]
            print(answer["image"], ", ".join(f"{name} {score:.3f}" for name, score in ranked), sep="\t")
    return 1 if unread else 0


def _judgement(answer: dict[str, Any]) -> list[str]:
    share = "" if answer["familiarity"] is None else f"{answer['familiarity']:.4f}"
    decision = [spreadsheet_text(answer["decision"])] if "decision" in answer else []
    return [answer["answer"], spreadsheet_text("|".join(answer["set"])), share, *decision]


def main(arguments: Sequence[str] | None = None) -> int:
    """Classify the pictures that the command line names."""
    parser = argparse.ArgumentParser(description="Classify pictures with the model beside this file.")
    parser.add_argument("images", nargs="+", help="picture files or folders")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="json: one object a line")
    parser.add_argument("--top", type=int, default=3, help="number of classes shown in the table")
    asked = parser.parse_args(arguments)
    model = Model()
    return show(model, model.answers(files_of(asked.images)), asked.format, asked.top)


if __name__ == "__main__":
    sys.exit(main())
