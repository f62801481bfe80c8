from pathlib import Path

from tests.siege.siege import Attack, Broken, besiege


def _every_third_breaks(scratch: Path) -> Attack:
    (scratch / "prepared").touch()

    def attack(seed: int) -> str:
        if seed % 3 == 0:
            raise Broken(f"attempt {seed}")
        return "odd" if seed % 2 else "even"

    return attack


def test_a_siege_counts_how_attempts_end_and_names_the_seeds_that_failed(tmp_path: Path) -> None:
    told: list[int] = []
    outcome = besiege(_every_third_breaks, tmp_path, range(1, 8), told=lambda seed, why: told.append(seed))
    assert (tmp_path / "prepared").exists()
    assert outcome.ended == {"odd": 3, "even": 2}  # 1, 5, 7; 2, 4
    assert outcome.failures == {3: "Broken: attempt 3", 6: "Broken: attempt 6"}
    assert told == [3, 6]
    assert outcome.attempts == 7


def test_no_attempt_begins_after_the_limit(tmp_path: Path) -> None:
    assert besiege(_every_third_breaks, tmp_path, [1, 2], limit=-1.0).attempts == 0


def test_a_siege_continues_from_its_journal_without_repeating_an_attempt(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    first = besiege(_every_third_breaks, tmp_path, range(1, 5), journal=journal)
    with journal.open("a") as file:
        file.write('[5, "od')  # the process died here
    told: list[int] = []
    both = besiege(
        _every_third_breaks, tmp_path, range(1, 8), told=lambda seed, why: told.append(seed), journal=journal
    )
    assert told == [6]  # 3 was not repeated
    assert both.ended == {"odd": 3, "even": 2} and list(both.failures) == [3, 6]
    assert both.seconds >= first.seconds
    assert [line.split(",")[0] for line in journal.read_text().splitlines()] == [f"[{seed}" for seed in range(1, 8)]
