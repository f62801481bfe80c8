from __future__ import annotations

import numpy as np
import pytest
from photographs import jpeg, picture

from headstart.audit.larger_copies import Match, match_cutouts, match_whole

FILES = [
    picture(0, (200, 240)),
    jpeg(picture(0, (200, 240)), 40),
    picture(0, (200, 240))[:, ::-1],
    picture(1, (200, 240)),
    b"no image",
    picture(0, (200, 240))[10:190, 12:228],
]


def test_whole_images_agree_with_their_copies_alone() -> None:
    a, b = np.array([0, 0, 0, 3, 0, 0]), np.array([1, 2, 3, 2, 4, 5])
    mirrored = np.array([False, True, False, True, False, False])
    score, warp = match_whole(FILES.__getitem__, a, b, mirrored, np.zeros((6, 4), dtype=np.float32))
    assert (score[[0, 1, 5]] > 0.9).all()
    assert (score[[2, 3]] < 0.5).all()
    assert score[4] == -1
    assert warp[0] == pytest.approx(0, abs=0.01)
    assert warp[5] == pytest.approx([0.111, 0, 0.111, 0], abs=0.02)  # 180 of 200 rows: stretched by 200 / 180 - 1


def test_many_pairs_are_compared_as_one_by_one() -> None:
    n = 150
    a, b = np.arange(n) % 4, (np.arange(n) * 7) % 6
    mirrored = np.arange(n) % 5 == 0
    start = np.zeros((n, 4), dtype=np.float32)
    together, warps = match_whole(FILES.__getitem__, a, b, mirrored, start)
    for k in (0, 63, 64, 127, 149):
        score, warp = match_whole(FILES.__getitem__, a[k : k + 1], b[k : k + 1], mirrored[k : k + 1], start[:1])
        assert together[k] == pytest.approx(score[0], abs=1e-3)
        assert warps[k] == pytest.approx(warp[0], abs=1e-2)


def test_no_pair_is_no_score() -> None:
    none = np.zeros(0, dtype=np.int64)
    score, warp = match_whole(FILES.__getitem__, none, none, none.astype(bool), np.zeros((0, 4), dtype=np.float32))
    assert len(score) == len(warp) == 0


def test_cut_outs_are_scored_in_the_order_given() -> None:
    whole = picture(5, (216, 216))
    files = [whole, whole[20:182, 30:192], picture(6, (162, 162)), b""]
    matches = [Match(0, 2, 24, 24), Match(0, 1, 24, 24), Match(0, 3, 24, 24), Match(0, 1, 24, 24)]
    scores = match_cutouts(files.__getitem__, matches)
    assert scores[0] < 0.4
    assert 0.85 < scores[1] == scores[3] <= 1
    assert scores[2] == -1
    assert match_cutouts(files.__getitem__, []) == []
