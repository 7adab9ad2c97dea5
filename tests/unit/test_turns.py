"""A projector far behind reads one partition after another; nobody starves."""

from services.projector.turns import FAR, Turns


def test_nobody_waits_while_all_that_is_left_fits() -> None:
    assert Turns(200_000).change(dict.fromkeys(range(4), 50_000)) == (set(), set())


def test_far_behind_one_is_read_to_its_end_and_those_up_to_date_always() -> None:
    turns, lags = Turns(200_000), {0: 90_000, 1: 90_000, 2: 90_000, 3: 90_000, 4: FAR - 1}

    assert turns.change(lags) == ({1, 2, 3}, set())
    assert turns.reading == {0}
    assert turns.change(lags | {0: 40_000}) == (set(), set())
    assert turns.change(lags | {0: FAR}) == (set(), {1})
    assert (turns.reading, turns.waiting) == ({1}, {2, 3})


def test_whoever_falls_far_behind_meanwhile_waits_for_a_turn_and_gets_it() -> None:
    turns = Turns(100_000)
    turns.change({0: 190_000, 2: 0})

    assert turns.change({0: 190_000, 2: FAR + 1}) == ({2}, set())
    assert turns.change({0: 0, 2: 190_000}) == (set(), {2})


def test_partitions_that_went_away_hold_no_turn() -> None:
    turns = Turns(100_000)
    turns.change(dict.fromkeys(range(6), 90_000))

    waits, goes_on = turns.change({4: 90_000, 5: 90_000})

    assert (waits, goes_on) == (set(), {4})
    turns.forget()
    assert turns.change(dict.fromkeys(range(6), 90_000))[0] == {1, 2, 3, 4, 5}


def test_once_begun_turns_go_on_until_nobody_is_far_behind() -> None:
    turns = Turns(100_000)
    turns.change({0: 90_000, 1: 90_000})

    assert turns.change({0: 20_000, 1: 20_000}) == (set(), set())
    assert turns.reading == {0}
    assert turns.change({0: FAR, 1: 20_000}) == (set(), {1})
    assert turns.change({0: 0, 1: FAR}) == (set(), set())
    assert turns.reading == set()
    assert turns.change({0: 20_000, 1: 20_000}) == (set(), set())
    assert turns.reading == set()
