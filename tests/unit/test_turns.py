"""A projector far behind reads a few partitions at a time; nobody starves."""

from services.projector.turns import AT_ONCE, FAR, Turns


def test_nobody_waits_while_all_that_is_left_fits() -> None:
    assert Turns(200_000).change(dict.fromkeys(range(4), 50_000)) == (set(), set())


def test_far_behind_a_few_are_read_each_to_its_end_and_those_up_to_date_always() -> None:
    turns, lags = Turns(200_000), {0: 90_000, 1: 90_000, 2: 90_000, 3: 90_000, 4: FAR - 1}

    assert turns.change(lags) == ({2, 3}, set())
    assert turns.change(lags | {0: 40_000}) == (set(), set())
    assert turns.change(lags | {0: FAR}) == (set(), {2})
    assert turns.waiting == {3}


def test_whoever_falls_far_behind_meanwhile_waits_for_a_turn_and_gets_it() -> None:
    turns = Turns(100_000)
    turns.change({0: 90_000, 1: 90_000, 2: 0})

    assert turns.change({0: 90_000, 1: 90_000, 2: FAR + 1}) == ({2}, set())
    assert turns.change({0: 90_000, 1: 0, 2: FAR + 1}) == (set(), {2})


def test_partitions_that_went_away_hold_no_turn() -> None:
    turns = Turns(100_000)
    turns.change(dict.fromkeys(range(6), 90_000))

    waits, goes_on = turns.change({4: 90_000, 5: 90_000})

    assert (waits, goes_on) == (set(), {4, 5})
    turns.forget()
    assert len(turns.change(dict.fromkeys(range(6), 90_000))[0]) == 6 - AT_ONCE
