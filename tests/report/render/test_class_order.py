from __future__ import annotations

from headstart.report.read.errors import Cell
from headstart.report.render.class_order import MOST, together


def test_confused_classes_are_adjacent() -> None:
    cells = [Cell(0, 4, 6, ()), Cell(3, 2, 6, ()), *(Cell(c, c, 9, ()) for c in (1, 3, 4))]
    order = together(cells, 5)
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert abs(order.index(0) - order.index(4)) == 1
    assert abs(order.index(2) - order.index(3)) == 1


def test_the_order_is_by_mistakes_and_not_by_correct_answers() -> None:
    assert together([Cell(c, c, 50, ()) for c in range(4)], 4) == [0, 1, 2, 3]


def test_few_classes_and_too_many_classes_stay_in_order() -> None:
    assert together([Cell(0, 1, 5, ())], 2) == [0, 1]
    assert together([Cell(0, 9, 5, ())], MOST + 1) == list(range(MOST + 1))
