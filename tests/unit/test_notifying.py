"""Rules, hours and words of the notifier: what is said when, and how long a message may be."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest

from services import acting
from services.command_line.reading import calendar_of
from services.notifier.hours import Hours, InvalidHours, after, next_time
from services.notifier.rules import InvalidRules, default_text, read_rules
from services.notifier.words import MOST_BYTES, body, text
from services.tables_messages import Message

OFFICE = Hours.of({"zone": "Europe/Paris", "country": "FR", "from": "08:00", "to": "18:00"})
RULE = 'version = "1"\n[[rule]]\nid = "a"\nfindings = ["bounced_case"]\n'


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-03-02T10:00:00+01:00", "2026-03-02T10:00:00+01:00"),
        ("2026-03-02T03:00:00+01:00", "2026-03-02T08:00:00+01:00"),  # nobody is woken at night
        ("2026-03-06T18:00:00+01:00", "2026-03-09T08:00:00+01:00"),  # Friday evening: Monday
        ("2026-04-30T19:00:00+02:00", "2026-05-04T08:00:00+02:00"),  # the first of May is a holiday, then a weekend
        ("2026-03-28T12:00:00+01:00", "2026-03-30T08:00:00+02:00"),  # over the change to summer time
    ],
)
def test_people_are_told_in_working_hours(now: str, then: str) -> None:
    assert OFFICE is not None
    assert OFFICE.next_open(at(now)) == at(then)


def test_eight_working_hours_from_friday_noon_end_on_monday() -> None:
    assert after(OFFICE, at("2026-03-06T12:00:00+01:00"), timedelta(hours=8)) == at("2026-03-09T10:00:00+01:00")
    assert after(None, at("2026-03-06T12:00:00+01:00"), timedelta(hours=8)) == at("2026-03-06T20:00:00+01:00")


def test_a_digest_waits_for_the_next_working_morning() -> None:
    assert next_time(time(7, 45), OFFICE, at("2026-03-06T09:00:00+01:00")) == at("2026-03-09T07:45:00+01:00")


def test_hours_that_end_before_they_begin_are_refused() -> None:
    with pytest.raises(InvalidHours, match="begin before they end"):
        Hours.of({"zone": "UTC", "from": "18:00", "to": "08:00"})


def test_the_default_rules_can_be_used_and_take_every_finding() -> None:
    rules = read_rules(default_text())

    assert rules.of("bounced_case", "B2") is not None
    assert rules.of("unanswered_claim", "U3") is not None
    assert rules.of("missed_clock", "visit") is not None


@pytest.mark.parametrize(
    ("text_", "said"),
    [
        ("version = ", "rules: "),
        ('version = "1"\nspeed = 3', "speed"),
        (RULE + 'wait = "soon"', "wait"),
        (RULE.replace("bounced_case", "bounced"), "findings"),
        (RULE + 'from_level = "Z9"', "from_level"),
        (RULE + RULE.partition("\n")[2], "two rules are called a"),
    ],
)
def test_rules_that_are_wrong_say_where(text_: str, said: str) -> None:
    with pytest.raises(InvalidRules, match=said):
        read_rules(text_)


def test_a_rule_begins_at_its_level() -> None:
    rules = read_rules(RULE + 'from_level = "B3"\n')

    assert rules.of("bounced_case", "B2") is None
    assert rules.of("bounced_case", "B4") is not None


def envelope(n: int) -> bytes:
    data = {
        "alert": f"bounced_case:p{n}:c:1", "n": 1, "rule": "bounced_case", "level": "B2", "severity": "medium", "patient": f"p{n}",
        "title_en": "Case sent on", "title_fr": "Dossier ballotté", "department": "A", "link": f"/patients/p{n}",
        "reasons": [{"code": "path", "text_en": "2 moves", "text_fr": "2 passages", "evidence": []}],
    }  # fmt: skip
    return orjson.dumps(
        {
            "id": f"a-{n}",
            "type": "parcours.alert.raised.v1",
            "time": "2026-03-02T09:00:00Z",
            "tenant": "t",
            "data": data,
        }
    )


def test_a_message_of_two_thousand_stays_below_twenty_kilobytes_and_says_how_many() -> None:
    message = Message(1, "msg_1", "bounced", "medium", "raised", 1, tuple(envelope(n) for n in range(2_000)))

    written = body(message, "fr", "http://here/alerts")

    assert len(written) <= MOST_BYTES
    assert orjson.loads(written)["data"]["count"] == 2_000
    assert "1940 autres" in text(message, "fr", "http://here")


def test_a_mail_says_why_in_the_language_of_its_reader() -> None:
    message = Message(1, "msg_1", "bounced", "medium", "raised", 1, (envelope(1),))

    assert "2 passages" in text(message, "fr", "http://here")
    assert "2 moves" in text(message, "en", "http://here")


def test_a_silence_that_is_over_already_is_none() -> None:
    wish = acting.Wish("silenced", "mme.lambert", until="2020-01-11T23:00:00Z")
    with pytest.raises(acting.NotAnAct, match="over already"):
        acting.fact("default", "p1", "bounced_case:p1:c1:1", wish, datetime(2026, 3, 2, tzinfo=UTC))


def test_what_is_due_at_the_end_of_a_day_is_that_whole_day_in_a_calendar() -> None:
    row = {
        "tenant": "default", "patient": "p1", "claim": "k1", "clock": "answer", "instance": 1, "t0": "2026-11-01T09:00:00Z", "ladder": "U0",
        "jurisdiction": "fr-csp",
    }  # fmt: skip
    zones = {"fr-csp": ZoneInfo("Europe/Paris")}
    whole = calendar_of([row | {"due_at": "2026-11-28T23:00:00Z"}], zones, 1).decode()
    moment = calendar_of([row | {"due_at": "2026-11-28T16:30:00Z"}], zones, 1).decode()
    assert "DTSTART;VALUE=DATE:20261128" in whole
    assert "DTSTART:20261128T163000Z" in moment
