"""The whole product as a person uses it: up, import, kill, look, down."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from deploy.embedded import postgres_server
from projections.policy import Policy
from services.settings import EVENTS
from services.tables import connected, create_generation
from tests.builders import MONDAY, answered, fold_lines, lines, registered, tick, worked

COMMAND = [sys.executable, "-m", "services.command_line.main"]


class Person:
    """Somebody at a terminal, with one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def says(self, *words: str, code: int = 0, seconds: float = 120) -> str:
        """Run a command; its output. The exit code must be the one expected, and there is never a traceback."""
        done = self._done(*words, seconds=seconds)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def warns(self, *words: str) -> str:
        """Run a command that succeeds; what it says beside its output."""
        done = self._done(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    def _done(self, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PARCOURS_HOME": str(self.home), "COLUMNS": "200"}
        done = subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, env=environment, timeout=seconds, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def reads(self, *words: str) -> Any:
        return json.loads(self.says(*words))

    def projector(self) -> psutil.Process:
        """The projector's process of this home."""
        for process in psutil.process_iter(["cmdline"]):
            if "projector" in (process.info["cmdline"] or []) and process.environ().get("PARCOURS_HOME") == str(
                self.home
            ):
                return process
        raise LookupError


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """An instance that is up, without a clock."""
    found = Person(tmp_path_factory.mktemp("home"))
    found.says("up", "--detach", "--no-clock")
    yield found
    found.says("down")
    postgres_server.remove(found.home / "postgres")


def write(path: Path, log: list[bytes]) -> Path:
    path.write_bytes(b"\n".join(log) + b"\n")
    return path


def many(cases: int) -> list[bytes]:
    """A log of many small cases, some bounced, some with a claim that goes quiet."""
    facts = []
    for n in range(cases):
        patient = f"p-{n}"
        facts += [
            worked(d, case=f"c-{n}").of(patient, "many").named(f"{n}-{k}") for k, d in enumerate("ABACAB"[: 2 + n % 5])
        ]
        if n % 5 == 0:
            facts.append(registered(f"k-{n}").of(patient, "many").named(f"{n}-k"))
        if n % 10 == 0:
            facts.append(answered(f"k-{n}").of(patient, "many").named(f"{n}-a"))
    return lines(*(fact.on(MONDAY) for fact in facts), tick("2026-06-01T00:00:00Z"))


def test_killed_in_mid_import_the_tables_are_as_without_and_it_is_back_within_five_seconds(
    person: Person, tmp_path: Path
) -> None:
    log = many(4_000)
    file = write(tmp_path / "many.jsonl", log)

    person.says("publish", str(file))
    for _ in range(3):
        person.projector().send_signal(signal.SIGKILL)
        gone = time.monotonic()
        while not _reads_on(person):
            assert time.monotonic() - gone < 15
            time.sleep(0.1)
        assert time.monotonic() - gone < 10, "it took too long to come back"
    person.says("publish", str(write(tmp_path / "again.jsonl", log[:200])), "--wait")

    found, expected = person.reads("export", "--tenant", "many"), fold_lines(log, Policy())
    for name in ("cases", "patients", "claims", "findings"):
        assert found[name] == expected[name]


def _reads_on(person: Person) -> bool:
    try:
        services = json.loads(person.says("status", "--json", code=0)).get("services", {})
        return services.get("projector-1") == "up" and psutil.pid_exists(person.projector().pid)
    except (AssertionError, LookupError):
        return False


def test_facts_by_http_are_seen_by_the_commands(person: Person) -> None:
    token = person.reads("token", "create", "--tenant", "north", "--role", "emitter", "--json")["token"]
    api = person.reads("status", "--json")["api"]
    facts = lines(*[worked(d, case="c9").of("p9", "north") for d in "ABA"])

    answers = [
        httpx2.post(
            f"{api}/v1/events",
            content=fact,
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        )
        for fact in facts
    ]

    assert [answer.status_code for answer in answers] == [202] * 3
    deadline = time.monotonic() + 10
    while not (found := person.reads("bounced", "--tenant", "north", "--json")["cases"]):
        assert time.monotonic() < deadline
    assert found[0]["path"] == ["A", "B", "A"]
    assert "came back once" in person.says("bounced", "--tenant", "north")
    assert "revenu 1 fois" in person.says("bounced", "--tenant", "north", "--lang", "fr")
    assert "en marche" in person.says("status", "--lang", "fr")
    in_french = person.says("case", "c9", "--lang", "fr")
    assert all(
        word in in_french for word in ("retours", "Visites", "Chronologie", "acte sur le dossier", "Dossier ballotté")
    )
    assert "act on the case" in person.says("case", "c9")
    figures = person.says("summary", "--tenant", "north", "--lang", "fr")
    assert all(word in figures for word in ("dossiers ballottés", "B2 ballotté", "réclamations sans réponse"))
    (told,) = person.reads("case", "c9", "--json")
    assert [visit["department"] for visit in told["visits"]] == ["A", "B", "A"]
    assert person.warns("bounced", "--tenant", "north") == ""
    for words in (("bounced",), ("claims",), ("summary",), ("alerts", "list"), ("export",)):
        assert "No patient of an establishment 'norht' is known here; there are some of: " in person.warns(
            *words, "--tenant", "norht"
        )


def test_a_claim_is_explained_line_by_line(person: Person, tmp_path: Path) -> None:
    held = registered("k77", jurisdiction="fr-csp", department="cardio").of("p77", "south")
    person.says("publish", str(write(tmp_path / "claim.jsonl", lines(held, tick("2026-06-02T00:00:00Z")))), "--wait")

    told = person.says("claim", "k77", "--lang", "fr")

    assert "échéance" in told
    (claim,) = person.reads("claim", "k77", "--json")
    assert claim["elapsed"]["working_days"] > 50
    assert claim["department"] == "cardio"
    assert "La réponse revient à cardio." in told
    assert claim["clocks"][0]["started_at"] == "2026-03-02T09:00:00Z"
    assert not re.search(r"\d{4}-\d\d-\d\d", told)
    overdue = person.says("claims", "--tenant", "south", "--overdue", "--lang", "fr")
    assert "réponse due le" in overdue
    assert not re.search(r"\d{4}-\d\d-\d\d", overdue)
    (finding, *_) = person.reads("alerts", "list", "--tenant", "south", "--json")
    one_alert = person.says("alerts", "show", finding["alert"], "--tenant", "south")
    assert not re.search(r"\d\dT?\d\d:\d\d:\d\d", one_alert)


def test_as_of_shows_what_was_known_then(person: Person, tmp_path: Path) -> None:
    log = lines(*[worked(d, case="c5").of("p5", "west") for d in "ABA"], tick("2026-06-02T00:00:00Z"))
    person.says("publish", str(write(tmp_path / "asof.jsonl", log)), "--wait")

    (then,) = person.reads("case", "c5", "--as-of", "2026-03-02T10:30:00Z", "--json")
    (by_then,) = person.reads("case", "c5", "--occurred-by", "2026-03-02T10:00:00Z", "--json")
    now, past = (
        person.reads("summary", "--tenant", "west", "--json", *when)
        for when in ((), ("--as-of", "2026-07-01T00:00:00Z"))
    )

    assert past | {"watermark": None} == now | {"watermark": None}
    assert then["path"] == ["A", "B"]
    assert by_then["path"] == ["A", "B"]
    assert by_then["level"] is None


def test_two_instances_of_one_home_there_are_never(person: Person) -> None:
    assert "already running" in person.says("up", "--detach", code=1)
    assert "already running" in person.says("up", code=1)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status"], 3), (["publish", "nothing.jsonl"], 3), (["bounced", "--min-level", "B9"], 2), (["fold", "nothing.jsonl"], 1),
        (["claims", "--lang", "de"], 2), (["import", "nothing.csv"], 1), (["nonsense"], 2), (["token", "create", "--tenant", "X", "--role", "emitter"], 2),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_a_sentence_and_an_exit_code(tmp_path: Path, words: list[str], code: int) -> None:
    assert Person(tmp_path / "nowhere").says(*words, code=code).strip()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["case", "D-nope", "--lang", "fr"], "aucun dossier"), (["import", "nothing.csv", "--lang", "fr"], "n'existe pas"),
        (["claims", "--due-within", "3x", "--lang", "fr"], "doit être un nombre"),
        (["bounced", "--min-level", "B9", "--lang", "fr"], "doit être parmi"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_in_the_language_that_was_asked_for(
    person: Person, words: list[str], sentence: str
) -> None:
    assert sentence in person.says(*words, code=2 if words[0] in ("claims", "bounced") else 1)


def test_a_port_that_is_taken_is_named(person: Person, tmp_path: Path) -> None:
    port = person.reads("status", "--json")["api"].rpartition(":")[2]

    assert port in Person(tmp_path / "other").says("up", "--port", port, code=1)


def test_every_command_has_help_with_an_example() -> None:
    from services.command_line.main import app

    for command in app.registered_commands:
        assert command.callback is not None
        assert "Example: parcours" in (command.callback.__doc__ or ""), command.callback.__name__


def test_a_home_that_was_restored_by_half_is_not_started_on(tmp_path: Path) -> None:
    person = Person(tmp_path / "half")
    person.home.mkdir()
    (person.home / "restoring").touch()
    assert "was interrupted" in person.says("up", code=1)


def test_what_a_killed_up_leaves_is_seen_and_stopped(tmp_path: Path) -> None:
    person = Person(tmp_path / "left")
    person.says("up", "--detach", "--no-clock")
    found = json.loads((person.home / "run.json").read_text())
    for private in ("parcours.log", "projector-1.log", "kafka", "run.json"):
        assert (person.home / private).stat().st_mode & 0o077 == 0, private
    assert "login?key=" not in (person.home / "parcours.log").read_text()
    os.kill(found["pid"], signal.SIGKILL)
    psutil.wait_procs([p for p in psutil.process_iter() if p.pid == found["pid"]], timeout=10)

    assert "killed" in person.says("doctor", code=1)
    assert "dead" in person.says("status", code=1)
    assert "mort : `up` a été tué" in " ".join(person.says("status", "--lang", "fr", code=1).split())
    assert "what it left is stopped" in person.says("down")
    assert "Nothing is running" in person.says("down")
    postgres_server.remove(person.home / "postgres")


def test_a_file_without_one_fact_is_not_published_into_a_log_that_is_kept_for_ever(
    person: Person, tmp_path: Path
) -> None:
    file = write(tmp_path / "noise.jsonl", [b"{", b"nothing"])

    assert "not one of its 2 lines is a JSON object" in person.says("publish", str(file), code=1)
    mixed = write(tmp_path / "mixed.jsonl", [*lines(worked("A").of("mixed")), b'{"specversion": "1.0"}'])
    told = person.says("publish", str(mixed), code=1)  # what is good is published, what is not is said
    assert "1 fact published, 1 line that will be parked" in told


def test_after_an_upgrade_up_makes_the_tables_anew_and_they_are_the_same(tmp_path: Path) -> None:
    person = Person(tmp_path / "upgraded")
    person.says("up", "--detach", "--no-clock")
    person.says("publish", str(write(tmp_path / "facts.jsonl", lines(*[worked(d) for d in "ABA"]))), "--wait")
    before = person.reads("export")
    url = json.loads((person.home / "run.json").read_text())["postgres"]
    asyncio.run(_made_by_another_version(url))
    person.says("down")

    person.says("up", "--detach", "--no-clock")

    assert person.reads("export") == before
    found = {one["id"]: one["state"] for one in person.reads("generations", "--json")}
    assert found == {
        1: "old",
        4: "active",
    }  # what an interrupted start had begun is finished, what else was begun is gone
    person.says("down")
    postgres_server.remove(person.home / "postgres")


async def _made_by_another_version(url: str) -> None:
    async with connected(url, "tests") as connection:
        for version, aside in ((Policy(b2_hops=4), True), (Policy(b2_hops=5), False)):
            await create_generation(connection, version, EVENTS, 24, active=False, aside=aside)
        await connection.execute("update parcours.generation set fold_version = 'another'")
        await create_generation(connection, Policy(), EVENTS, 24, active=False)


def test_a_frozen_owner_that_holds_its_rows_does_not_hold_up_its_successor(person: Person, tmp_path: Path) -> None:
    url = json.loads((person.home / "run.json").read_text())["postgres"]
    file = write(
        tmp_path / "thawed.jsonl", lines(*[worked(d, case="c-frozen").of("p-frozen", "frozen") for d in "ABA"])
    )

    async def freeze_and_publish() -> None:
        async with connected(url, "projector") as frozen:  # the name a projector's connections have
            await frozen.execute("begin")
            await frozen.execute("select 1 from parcours.checkpoint for update")
            await asyncio.to_thread(person.says, "publish", str(file), "--wait", seconds=40)
            assert frozen.is_closed() or await _is_gone(frozen)

    asyncio.run(freeze_and_publish())
    assert person.reads("export", "--tenant", "frozen")["cases"][0]["path"] == ["A", "B", "A"]


async def _is_gone(connection: Any) -> bool:
    try:
        await connection.execute("select 1")
    except Exception:  # noqa: BLE001 - however it ended
        return True
    return False


def test_reading_goes_on_while_the_tables_are_made_anew(person: Person, tmp_path: Path) -> None:
    person.says("publish", str(write(tmp_path / "some.jsonl", many(300))), "--wait")
    before = person.reads("summary", "--tenant", "many", "--json")["cases"]
    token = person.reads("token", "create", "--tenant", "many", "--role", "reader", "--json")["token"]
    api = person.reads("status", "--json")["api"]
    rebuild = subprocess.Popen(
        [*COMMAND, "rebuild", "--home", str(person.home)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    seen = []
    with httpx2.Client(base_url=api, headers={"authorization": f"Bearer {token}"}, trust_env=False) as client:
        while rebuild.poll() is None:
            answer = client.get("/v1/cases?limit=1000&state=all")
            seen.append((answer.status_code, len(answer.json().get("cases", []))))

    assert rebuild.returncode == 0
    assert set(seen) == {(200, min(before, 1000))}
    assert person.reads("verify", "--json")["same"]
