"""Day arithmetic: the vectors of DOMAIN section 4, and a slow day-by-day reference."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays
import pytest

from projections.policy import Policy
from projections.working_days import Allowance, Calendar, OpeningHours, months_after

KNOWN = Policy().known


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_england_good_friday_and_easter_monday_do_not_count() -> None:
    calendar = KNOWN["eng-nhs"].calendar

    assert Allowance(3).end(calendar, at("2026-04-02T10:00:00+01:00")) == at("2026-04-10T00:00:00+01:00")


def test_france_good_friday_is_worked_but_not_in_alsace_moselle() -> None:
    received = at("2026-04-02T10:00:00+02:00")

    assert Allowance(3).end(KNOWN["fr-csp"].calendar, received) == at("2026-04-09T00:00:00+02:00")
    assert Allowance(3).end(KNOWN["fr-csp-am"].calendar, received) == at("2026-04-10T00:00:00+02:00")


def test_quebec_forty_five_days() -> None:
    calendar = KNOWN["qc-lsssss"].calendar

    assert Allowance(days=45).end(calendar, at("2026-03-01T10:00:00-05:00")) == at("2026-04-16T00:00:00-04:00")


def test_the_days_the_clocks_change_have_twenty_three_and_twenty_five_hours() -> None:
    paris = Calendar("Europe/Paris")
    noon = time(12)

    spring = paris.at(date(2026, 3, 29), noon) - paris.at(date(2026, 3, 28), noon)
    autumn = paris.at(date(2026, 10, 25), noon) - paris.at(date(2026, 10, 24), noon)

    assert (spring, autumn) == (timedelta(hours=23), timedelta(hours=25))


def test_opening_hours_of_the_vectors() -> None:
    paris = Calendar("Europe/Paris")
    days = OpeningHours(paris, tuple(((time(9), time(17)),) if n < 5 else () for n in range(7)))
    early = OpeningHours(paris, tuple(((time(8), time(17)),) if n < 5 else () for n in range(7)))

    assert days.minutes(at("2026-03-02T14:00:00+01:00"), at("2026-03-03T09:00:00+01:00")) == 3 * 60
    assert early.minutes(at("2026-03-06T21:00:00+01:00"), at("2026-03-09T09:30:00+01:00")) == 90


def test_a_break_and_a_closing_day_are_not_open() -> None:
    paris = Calendar("Europe/Paris")
    week = tuple(((time(9), time(12)), (time(14), time(17))) for _ in range(7))
    hours = OpeningHours(paris, week, frozenset({date(2026, 3, 3)}))

    assert hours.minutes(at("2026-03-02T11:00:00+01:00"), at("2026-03-04T10:00:00+01:00")) == 60 + 180 + 60


def test_months_keep_their_day_or_end_with_the_month() -> None:
    assert months_after(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert months_after(date(2028, 1, 31), 1) == date(2028, 2, 29)
    assert months_after(date(2026, 12, 15), 6) == date(2027, 6, 15)


def test_friday_at_a_minute_to_midnight_is_still_friday() -> None:
    assert Allowance(1).end(KNOWN["fr-csp"].calendar, at("2026-03-06T23:59:00+01:00")) == at(
        "2026-03-10T00:00:00+01:00"
    )


def test_a_place_may_close_a_day_and_open_another() -> None:
    calendar = Calendar("Europe/Paris", "FR", None, frozenset({date(2026, 3, 3)}), frozenset({date(2026, 3, 7)}))

    assert not calendar.is_working(date(2026, 3, 3))
    assert calendar.is_working(date(2026, 3, 7))


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_working_days_agree_with_a_slow_count_for_every_day_from_2020_to_2035(name: str) -> None:
    calendar = KNOWN[name].calendar
    days = {}
    if calendar.country is not None:
        days = holidays.country_holidays(calendar.country, subdiv=calendar.subdivision, years=range(2020, 2037))
    zone = ZoneInfo(calendar.zone)

    def slow(day: date, n: int) -> date:
        while n:
            day += timedelta(days=1)
            n -= day.weekday() < 5 and day not in days
        return day

    day = date(2020, 1, 1)
    while day < date(2036, 1, 1):
        for n in (1, 3, 20):
            expected = datetime.combine(slow(day, n) + timedelta(days=1), time.min, zone).astimezone(UTC)
            assert calendar.end_of_working_days(datetime.combine(day, time(15, 30), zone), n) == expected, (day, n)
        day += timedelta(days=1)
