from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import MissingExtra, SpecError
from headstart.maps import projection as module
from headstart.maps.projection import _percent, method_for, project
from headstart.storage.store import Store


def groups(each: int = 30, count: int = 4, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    centres = 3 * generator.standard_normal((count, d))
    codes = np.repeat(np.arange(count), each)
    return (centres[codes] + generator.standard_normal((len(codes), d))).astype(np.float32), codes


def test_principal_components_say_their_share_and_what_they_keep() -> None:
    vectors, _ = groups()
    found = project(vectors, method="pca")
    assert found.method == "pca" and found.positions.shape == (120, 2) and found.shares is not None
    made, kept = found.words
    assert made == (
        f"The two principal components of the vectors, with {100 * sum(found.shares):.0f} % of their variance."
    )
    assert f"{100 * found.kept.among_nearest:.0f} % are among its 10 nearest here" in kept
    assert np.array_equal(found.positions, project(vectors, method="pca", seed=5).positions)


def test_a_map_is_computed_once_for_each_content_method_and_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, vectors = Store(tmp_path), groups()[0]
    calls: list[str] = []
    real = module.principal_components
    monkeypatch.setattr(module, "principal_components", lambda *given: (calls.append("pca"), real(*given))[1])
    first = project(vectors, method="pca", store=store)
    again = project(vectors.copy(), method="pca", store=store)
    assert calls == ["pca"] and np.array_equal(first.positions, again.positions) and first.kept == again.kept
    project(vectors + 1, method="pca", store=store)
    project(vectors, method="pca", seed=1, store=store)
    assert calls == ["pca"] * 3


def test_the_default_is_a_map_by_neighbours_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_installed", lambda: True)
    assert method_for("auto", 100) == ("tsne", "")
    assert method_for("auto", 19) == ("pca", " (19 images are too few for a t-SNE map)")
    assert method_for("auto", 200_000)[0] == "tsne" == method_for("tsne", 200_001)[0]
    why = " (a t-SNE map of 200,001 images takes long: choose the method tsne for one)"
    assert method_for("auto", 200_001) == ("pca", why)
    monkeypatch.setattr(module, "is_installed", lambda: False)
    assert method_for("auto", 100) == ("pca", " (pip install 'headstart[map]' for a t-SNE map)")
    with pytest.raises(SpecError, match=r"unknown method 'umap' \(known: auto, pca, tsne\)"):
        method_for("umap", 100)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"a t-SNE map needs an optional package: pip install 'headstart\[map"):
        project(groups()[0], method="tsne")


def test_few_images_have_a_map_too() -> None:
    for n in (1, 2, 3):
        found = project(groups()[0][:n], method="auto")
        assert found.positions.shape == (n, 2) and np.isfinite(found.positions).all() and found.words


def test_a_map_by_neighbours_keeps_groups_together_and_is_the_same_again(tmp_path: Path) -> None:
    pytest.importorskip("openTSNE")
    vectors, codes = groups()
    found = project(vectors, method="tsne", store=Store(tmp_path))
    assert found.shares is None and "t-SNE" in found.words[0]
    distances = ((found.positions[:, None] - found.positions) ** 2).sum(-1)
    np.fill_diagonal(distances, np.inf)
    assert (codes[distances.argmin(axis=1)] == codes).mean() == 1
    assert found.kept.among_nearest > project(vectors, method="pca").kept.among_nearest
    assert np.array_equal(found.positions, project(vectors, method="tsne").positions)
    with pytest.raises(SpecError, match="at least 20 images, not 19"):
        project(vectors[:19], method="tsne")


def test_a_map_by_neighbours_stops_when_it_is_told_to() -> None:
    pytest.importorskip("openTSNE")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project(groups()[0], method="tsne", watch=stop)


def test_chance_is_given_without_exponents() -> None:
    assert [_percent(share) for share in (0.00012, 0.05, 0.0996, 0.35, 1.0)] == [
        "0.012 %",
        "5 %",
        "10 %",
        "35 %",
        "100 %",
    ]


def test_of_few_images_it_is_not_said_that_all_are_near() -> None:
    few = project(np.random.default_rng(0).standard_normal((18, 8)).astype(np.float32), method="pca")
    assert few.words[1].endswith(" are among its 10 nearest here (by chance 59 %; measured on 18 images).")  # 10 / 17
    many = project(groups()[0], method="pca")
    assert " nearest here and " in many.words[1] and "(by chance 42 %;" in many.words[1]  # 50 / 119
