"""What people bring, and what an importer notices about it."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from projections.policy import Policy
from services.command_line.import_plans import Plan, plan, warn_of_days
from services.command_line.importing import tell
from services.importer import words
from services.importer.mapping import BadMap, ClaimMap, Map, read_map
from services.publishing import BadFile
from tests.builders import fold_lines, lines, worked

HEAD = "case_id,activity,department,timestamp\n"


def brought(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def planned(path: Path, *, as_lived: bool = False, **columns: object) -> tuple[Plan, list[dict[str, object]]]:
    found = plan(path, None, Map(**columns), None, as_lived=as_lived)  # type: ignore[arg-type]
    return found, [orjson.loads(line) for line in found.lines()]


def test_each_row_is_an_act_of_a_person_on_a_case(tmp_path: Path) -> None:
    path = brought(tmp_path, "log.csv", HEAD + "c1,read,A,2026-03-02T09:00:00Z\nc1,read,,2026-03-02T10:00:00Z\n")

    found, facts = planned(path)

    assert facts[0]["data"] == {"case": "c1", "department": "A", "activity": "read", "actor": {"kind": "human"}}
    assert "department" not in facts[1]["data"]  # type: ignore[operator]
    assert facts[1]["id"] != facts[0]["id"]
    assert found.report.rows == 2


def test_importing_twice_gives_the_same_identities(tmp_path: Path) -> None:
    path = brought(tmp_path, "log.csv", HEAD + "c1,read,A,2026-03-02T09:00:00Z\n")

    assert planned(path)[1][0]["id"] == planned(path)[1][0]["id"]


def test_the_next_longer_export_brings_only_what_is_new_in_it(tmp_path: Path) -> None:
    days = "c1,,Accueil,03/11/2026\nc1,,Facturation,03/11/2026\nc1,,Facturation,03/11/2026\n"
    first = planned(brought(tmp_path, "s1.csv", HEAD + days))[1]
    text = HEAD + "c0,,Accueil,02/11/2026\n" + days + "c1,,Accueil,05/11/2026\n"
    second = planned(brought(tmp_path, "s2.csv", text))[1]
    windows = planned(brought(tmp_path, "s3.csv", text.replace("Accueil", "Urgences pédiatriques").encode("cp1252")))[1]

    assert len({fact["id"] for fact in first}) == 3
    assert [fact["id"] for fact in second[1:4]] == [fact["id"] for fact in first]
    assert len({fact["id"] for fact in second}) == 5
    assert windows[2]["id"] == second[2]["id"]


def test_rows_of_one_instant_keep_the_order_of_the_file_also_as_lived(tmp_path: Path) -> None:
    rows = "".join(f"c1,,{name},03/11/2026\n" for name in "ABABCADA")
    _, facts = planned(brought(tmp_path, "log.csv", HEAD + rows), as_lived=True)

    found = fold_lines([orjson.dumps(fact) for fact in reversed(facts)], Policy())
    assert found["cases"][0]["path"] == list("ABABCADA")


def test_as_lived_is_recorded_when_it_happened_in_the_order_it_happened(tmp_path: Path) -> None:
    path = brought(tmp_path, "log.csv", HEAD + "c1,b,A,2026-03-03T09:00:00Z\nc2,a,A,2026-03-02T09:00:00Z\n")

    _, facts = planned(path, as_lived=True)

    assert [fact["recordedtime"] for fact in facts] == ["2026-03-02T09:00:00Z", "2026-03-03T09:00:00Z"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    text = (HEAD + "c1,read,A,2026-03-02T09:00:00Z\nc2,read,B,2026-03-02T09:00:00Z\n").replace(",", delimiter)

    found, facts = planned(brought(tmp_path, "log.csv", text))

    assert found.source.delimiter == delimiter
    assert len(facts) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "cp850", "mac_roman"])
@pytest.mark.parametrize(
    ("department", "activity"),
    [
        ("Cardiologie générale", "réception du dossier arrivé à l'accueil"),
        ("Problèmes sociaux", "père reçu"),
        ("Hôpital de jour", "où ça ? très tôt"),
        ("Accès", "read"),
    ],
)
def test_accents_are_read_as_they_were_written(tmp_path: Path, encoding: str, department: str, activity: str) -> None:
    row = f"c1,{activity},{department},2026-03-02T09:00:00Z\n"

    found, facts = planned(brought(tmp_path, "log.csv", (HEAD + row * 3).encode(encoding)))

    assert found.source.encoding in found.source.described()
    assert [(one["data"]["department"], one["data"]["activity"]) for one in facts] == [(department, activity)] * 3  # type: ignore[index]


def test_an_accent_that_comes_late_in_a_file_is_read_too(tmp_path: Path) -> None:
    plain, late = "c1,read,A,2026-03-02T09:00:00Z\n", "c1,read,Néphrologie,2026-03-02T09:00:00Z\n"

    _, facts = planned(brought(tmp_path, "log.csv", (HEAD + plain * 15_000 + late).encode("cp1252")))

    assert facts[-1]["data"]["department"] == "Néphrologie"  # type: ignore[index]


def test_one_damaged_byte_costs_the_other_accents_nothing_and_is_said(tmp_path: Path) -> None:
    row = "c1,read,Néphrologie,2026-03-02T09:00:00Z\n".encode()

    found, facts = planned(
        brought(tmp_path, "log.csv", HEAD.encode() + row * 9 + b"c1,r\xe8ad,A,2026-03-02T09:00:00Z\n")
    )

    assert facts[0]["data"]["department"] == "Néphrologie"  # type: ignore[index]
    assert "1 characters that are not" in found.source.described()


@pytest.mark.parametrize(
    ("head", "case", "patient"),
    [
        ("N° dossier;Patient;Date et heure;Unité", "d1", "p1"),
        ("N° dossier;Identifiant patient;Date et heure;Service", "d1", "p1"),
        ("IPP;Numero_de_dossier;DATE ET HEURE;Service", "p1", "d1"),
        ("Patient;Ward;timestamp;Service", "d1", "d1"),
        ("Ticket ID;Patient MRN;Created On;Assigned Team", "d1", "p1"),
        ("N° dossier;IPP;Date de réception;Service concerné", "d1", "p1"),
    ],
)
def test_usual_names_are_known_with_and_without_accents_and_a_patient_is_no_case(
    tmp_path: Path, head: str, case: str, patient: str
) -> None:
    _, facts = planned(brought(tmp_path, "log.csv", f"{head}\nd1;p1;2026-03-02T09:00:00Z;A\n"))

    assert (facts[0]["data"]["case"], facts[0]["subject"]) == (case, patient)  # type: ignore[index]


def test_rows_that_cannot_be_used_are_listed_by_reason_with_their_numbers(tmp_path: Path) -> None:
    found, facts = planned(
        brought(tmp_path, "log.csv", HEAD + "c1,a,A,soon\n,a,A,2026-03-02T09:00:00Z\nc1,a,A,2026-03-02T09:00:00Z\n")
    )

    assert found.report.unusable == {"not a time": [1], "no case": [2]}
    assert len(facts) == 1


def test_doubtful_things_are_warned_of(tmp_path: Path) -> None:
    text = HEAD + "NA,a,EMPTY,03/04/2026 09:00\nc1,a,?,05/04/2026 09:00\nc1,a,A,04/04/2026 09:00\n"

    found, _ = planned(brought(tmp_path, "log.csv", text))
    list(found.lines())

    said = " | ".join(found.report.warnings)
    for word in (
        "literally NA",
        "literally EMPTY",
        "literally ?",
        "day first or month first",
        "without a zone",
        "run backwards",
    ):
        assert word in said, word


@pytest.mark.parametrize(
    ("first", "second"),
    [("13.08.26 08:20", "04.09.26"), ("13/08/26 8h20", "4/9/26"), ("13-08-26 08:20:00", "04-09-26")],
)
def test_a_year_may_be_said_in_two_digits_and_it_is_said_how_it_was_read(
    tmp_path: Path, first: str, second: str
) -> None:
    found, facts = planned(brought(tmp_path, "log.csv", HEAD + f"c1,a,A,{first}\nc1,a,B,{second}\n"))

    assert [fact["time"] for fact in facts if fact["type"] == "parcours.case.worked.v1"] == [
        "2026-08-13T08:20:00Z",
        "2026-09-04T00:00:00Z",
    ]
    assert any("26 was read as 2026" in said for said in found.report.warnings)


def test_where_the_first_of_two_digits_may_be_the_year_nothing_is_guessed(tmp_path: Path) -> None:
    found, facts = planned(brought(tmp_path, "log.csv", HEAD + "c1,a,A,26/08/03\nc1,a,B,26/08/04\nc1,a,C,26/09/05\n"))

    assert facts == []
    assert found.report.unusable == {"not a time": [1, 2, 3]}


def test_rows_that_do_not_fit_the_header_are_warned_of(tmp_path: Path) -> None:
    found, _ = planned(
        brought(tmp_path, "log.csv", HEAD + "c1,a,A,2026-03-02T09:00:00Z,more\nc1,a,A\nc1,a,A,2026-03-02T09:00:00Z\n")
    )

    assert [where for what, where in found.report.warnings.items() if "cells" in what] == [["row 1", "row 2"]]


def test_an_ignored_value_is_an_empty_cell(tmp_path: Path) -> None:
    path = brought(tmp_path, "log.csv", HEAD + "c1,a,EMPTY,2026-03-02T09:00:00Z\n")

    assert "department" not in planned(path, ignore=("EMPTY",))[1][0]["data"]  # type: ignore[operator]


def test_a_spreadsheet_that_swapped_days_and_months_is_noticed(tmp_path: Path) -> None:
    sound, swapped = [HEAD], [HEAD]
    for case in range(20):
        for day in range(8, 16):
            month = case % 6 + 1
            sound.append(f"c{case},a,A,2026-{month:02}-{day:02} 09:00:00\n")
            d, m = (month, day) if day <= 12 else (day, month)
            swapped.append(f"c{case},a,A,2026-{m:02}-{d:02} 09:00:00\n")

    assert not any("swapped" in what for what in planned(brought(tmp_path, "a.csv", "".join(sound)))[0].report.warnings)
    assert any(
        "look swapped" in what for what in planned(brought(tmp_path, "b.csv", "".join(swapped)))[0].report.warnings
    )


XES = """<log xmlns="http://www.xes-standard.org/"><trace><string key="concept:name" value="c1"/>
<date key="start" value="2026-03-02T09:00:00+01:00"/><date key="due" value="2026-03-20T09:00:00+01:00"/><date key="end" value="2026-03-01T09:00:00+01:00"/>
<event><string key="concept:name" value="read"/><string key="org:group" value="A"/><string key="org:resource" value="r"/>
<date key="time:timestamp" value="2026-03-02T10:00:00+01:00"/></event></trace></log>"""


def test_xes_is_read_with_its_standard_names_and_unpacked(tmp_path: Path) -> None:
    _, facts = planned(brought(tmp_path, "log.xes.gz", gzip.compress(XES.encode())))

    assert facts[0]["data"] == {
        "case": "c1",
        "department": "A",
        "activity": "read",
        "actor": {"kind": "human", "id": "r"},
    }


def test_a_map_makes_claims_of_case_attributes_and_names_answers_before_their_claim(tmp_path: Path) -> None:
    claim = ClaimMap(registered_at="case:start", due_at="case:due", answered_at="case:end")

    found, facts = planned(brought(tmp_path, "log.xes", XES), claim=claim)

    assert [fact["type"] for fact in facts][:2] == ["parcours.claim.registered.v1", "parcours.claim.answered.v1"]
    assert facts[0]["data"]["due_at"] == "2026-03-20T08:00:00Z"  # type: ignore[index]
    assert found.report.warnings == {"the answer lies before the claim: it is none": ["case c1"]}


def test_cloudevents_lines_are_checked_and_told_to_a_tenant(tmp_path: Path) -> None:
    path = brought(tmp_path, "facts.jsonl", b"\n".join([*lines(worked("A")), b"{"]))

    found = plan(path, None, Map(), "north", as_lived=False)
    facts = [orjson.loads(line) for line in found.lines()]

    assert [fact["tenant"] for fact in facts] == ["north"]
    assert list(found.report.unusable.values()) == [[2]]


BAD: dict[str, tuple[bytes, str]] = {
    "empty.csv": (b"", "empty"),
    "blank.csv": (b"  \n\n", "empty"),
    "short.xes.gz": (gzip.compress(XES.encode() * 50)[:60], "damaged"),
    "binary.csv": (b"\x00\x01\x02" * 100, "NUL"),
    "sheet.csv": (b"PK\x03\x04\x14\x00" * 50, "save it as CSV"),
    "endless.csv": (HEAD.encode() + b"x" * 7_000_000, "longer than 6 MiB"),
    "wrong.csv": (b"a,b\n1,2\n", "which column is the case"),
    "broken.xes": (b"<log><trace>", "well-formed"),
    "none.xes": (b"<log></log>", "no event"),
    "head.csv": (HEAD.encode(), "no row"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_none_is_refused_in_a_sentence_before_anything_is_done(tmp_path: Path, name: str) -> None:
    content, word = BAD[name]

    with pytest.raises(BadFile, match=word) as refused:
        planned(brought(tmp_path, name, content))

    assert name in str(refused.value)
    said = refused.value.args[0]
    assert name in said.fr
    assert said.fr != str(said)


def test_a_log_without_a_department_says_that_nobody_can_be_found_in_it(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for column, warned in (("Desk", True), ("Team", False)):
        path.write_text(f"Ticket;Patient number;Date;{column}\nRX-1;P1;2026-09-01 08:00;Pharmacy\n", encoding="utf-8")
        found = plan(path, None, Map(zone="Europe/Paris"), None, as_lived=True)

        assert any("--department NAME" in what for what in found.report.warnings) == warned
        (fact,) = map(orjson.loads, found.lines())
        assert fact["subject"] == "P1"


def test_a_log_without_a_patient_says_that_each_case_is_a_person(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for column, subject in (("Remark", "RX-1"), ("Patient number", "P1")):
        path.write_text(f"Ticket;{column};Date;Team\nRX-1;P1;2026-09-01 08:00;Pharmacy\n", encoding="utf-8")
        found = plan(path, None, Map(zone="Europe/Paris"), None, as_lived=True)

        assert any("--patient NAME" in what for what in found.report.warnings) == (subject == "RX-1")
        (fact,) = map(orjson.loads, found.lines())
        assert fact["subject"] == subject


@pytest.mark.parametrize(
    ("head", "day", "clock"),
    [
        ("Date;Heure", "03/09/2026", "9h05"),
        ("Date;Time", "2026-09-03", "9:05"),
        ("Heure;Date", "2026-09-03", "09:05:00"),
        ("Time;Team", "2026-09-03T09:05:00", ""),
        ("Timestamp;Hour", "2026-09-03T09:05:00", "9"),
    ],
)
def test_a_day_and_a_time_of_day_in_two_columns_are_one_time(tmp_path: Path, head: str, day: str, clock: str) -> None:
    cells = f"{clock};{day}" if head.startswith("Heure") else f"{day};{clock}"
    path = brought(tmp_path, "log.csv", f"N° ticket;{head};Service\nOR-1;{cells};A\nOR-1;{cells};B\n")
    found = plan(path, None, Map(zone="Europe/Paris"), None, as_lived=True)

    assert [orjson.loads(raw)["time"] for raw in found.lines()] == ["2026-09-03T07:05:00Z"] * 2
    assert not any("time of day" in what for what in found.report.warnings)


def test_days_without_a_time_of_day_are_said_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    rows = "c1;2026-09-03;;A\nc1;2026-09-04;soon;B\nc1;05/09/2026;14h;C\n"
    path = brought(tmp_path, "log.csv", f"Dossier;Date;Heure;Service\n{rows}")
    found = plan(path, None, Map(zone="Europe/Paris"), None, as_lived=True)

    times = [orjson.loads(raw)["time"] for raw in found.lines()]
    assert times == ["2026-09-02T22:00:00Z", "2026-09-05T12:00:00Z"]
    assert found.report.unusable == {"not a time": [2]}
    assert any(what.startswith("1 date without a time of day: ") for what in found.report.warnings)


@pytest.mark.parametrize(
    ("cell", "due"),
    [
        ("2026-03-20", "2026-03-20"),
        ("20/03/2026", "2026-03-20"),
        ("20/03/2026 09:30", "2026-03-20T08:30:00Z"),
        ("2026-03-20T09:30:00+01:00", "2026-03-20T08:30:00Z"),
        ("n/a", None),
    ],
)
def test_a_deadline_without_a_time_of_day_is_that_whole_day_and_one_that_is_none_costs_nothing_else(
    tmp_path: Path, cell: str, due: str | None
) -> None:
    claim = ClaimMap(registered_at="start", due_at="due")
    path = brought(tmp_path, "log.csv", f"case,time,start,due\nc1,2026-03-02T10:00:00,2026-03-02T09:00:00,{cell}\n")
    plan, facts = planned(path, zone="Europe/Paris", claim=claim)
    registered = next(fact["data"] for fact in facts if fact["type"] == "parcours.claim.registered.v1")
    assert registered.get("due_at") == due  # type: ignore[attr-defined]
    assert len(facts) == 2
    assert ("no deadline of its own: it cannot be read" in plan.report.warnings) == (due is None)


@pytest.mark.parametrize(
    ("cell", "time"),
    [
        ("09/14/2026 11:00:00 AM", "2026-09-14T11:00:00Z"),
        ("9/14/2026 12:05 AM", "2026-09-14T00:05:00Z"),
        ("9/14/2026, 1:05 p.m.", "2026-09-14T13:05:00Z"),
        ("2026-09-14 12:30 PM", "2026-09-14T12:30:00Z"),
        ("9/14/2026 13:05 PM", None),
        ("9/14/2026 0:05 AM", None),
    ],
)
def test_the_two_halves_of_a_day_are_told_apart(tmp_path: Path, cell: str, time: str | None) -> None:
    path = brought(tmp_path, "log.csv", f"case;time\nc1;{cell}\nc2;9/30/2026 1:00 AM\n")

    found, facts = planned(path)

    assert [fact["time"] for fact in facts if fact["data"]["case"] == "c1"] == ([time] if time else [])  # type: ignore[index]
    assert found.report.unusable == ({} if time else {"not a time": [1]})
    assert "days without a time of day" not in " ".join(found.report.warnings)


def test_an_answer_that_a_register_fills_in_later_is_one(tmp_path: Path) -> None:
    chosen = Map(claim=ClaimMap(registered_at="received", answered_at="answered"))
    text = (
        "case,patient,time,received,answered\nc1,p1,2026-03-02T09:00:00Z,,\nc1,p1,2026-03-03T09:00:00Z,2026-03-03,\n"
        "c1,,2026-03-04T09:00:00Z,2026-03-04,2026-03-09\nc1,p1,2026-03-05T09:00:00Z,2026-03-03,2026-03-10\n"
    )
    found = plan(brought(tmp_path, "register.csv", text), None, chosen, None, as_lived=False)
    facts = [orjson.loads(line) for line in found.lines()]

    assert [(one["type"], one["subject"], one["time"][:10]) for one in facts if "claim" in one["type"]] == [
        ("parcours.claim.registered.v1", "p1", "2026-03-03"),
        ("parcours.claim.answered.v1", "p1", "2026-03-09"),
    ]


def test_a_column_that_the_map_names_for_the_claim_has_to_be_there(tmp_path: Path) -> None:
    path = brought(tmp_path, "log.csv", "case;time;start\nc1;2026-03-02T10:00:00Z;2026-03-02T09:00:00Z\n")
    with pytest.raises(BadFile, match="no column 'answred' for the claim; there are: case, time, start"):
        planned(path, claim=ClaimMap(registered_at="start", answered_at="answred"))

    found, _ = planned(brought(tmp_path, "log.xes", XES), claim=ClaimMap(registered_at="case:begin"))
    assert [what for what in found.report.warnings if "case:begin" in what]


def test_who_has_no_complaint_is_not_told_of_and_a_time_that_cannot_be_read_is_shown(tmp_path: Path) -> None:
    rows = "c1;2026-03-02T10:00:00Z;\nc2;2026-03-02T10:00:00Z;soon\n"
    found, _ = planned(brought(tmp_path, "log.csv", "case;time;start\n" + rows), claim=ClaimMap(registered_at="start"))

    warned = {what: where for what, where in found.report.warnings.items() if "claim" in what}
    assert list(warned.values()) == [["case c2: soon"]]


def test_rows_without_a_patient_or_a_department_are_told_where_there_is_such_a_column(tmp_path: Path) -> None:
    text = "case;patient;time;service\nc1;p1;2026-03-02T10:00:00Z;\nc2;;2026-03-02T10:00:00Z;A\n"
    found, facts = planned(brought(tmp_path, "log.csv", text))

    assert [fact["subject"] for fact in facts] == ["p1", "c2"]
    assert found.report.warnings["no patient: the case counts as a person of its own"] == ["row 2, case c2"]
    assert found.report.warnings["no department: an act that moves nothing"] == ["row 1"]


def test_a_case_whose_rows_name_several_patients_or_not_all_of_them_one_is_told(tmp_path: Path) -> None:
    rows = ("c1;p1;02;A", "c1;;03;B", "c2;p2;02;A", "c2;p3;03;B", "c2;p2;04;A", "c3;;02;A", "c3;p4;03;B")
    text = "case;patient;time;service\n" + "".join(f"{row}\n" for row in rows)
    for day in ("02", "03", "04"):
        text = text.replace(f";{day};", f";2026-03-{day}T10:00:00Z;")
    found, facts = planned(brought(tmp_path, "log.csv", text))

    assert [fact["subject"] for fact in facts] == ["p1", "c1", "p2", "p3", "p2", "c3", "p4"]
    warned = found.report.warnings
    assert warned["no patient: the case counts as a person of its own"] == ["row 2, case c1", "row 6, case c3"]
    assert [where for what, where in warned.items() if "several patients" in what] == [
        ["case c1", "case c2", "case c3"]
    ]
    turned = "\n".join([text.splitlines()[0], *reversed(text.splitlines()[1:])])
    _, again = planned(brought(tmp_path, "turned.csv", turned))
    assert {(one["subject"], one["id"]) for one in again} == {(one["subject"], one["id"]) for one in facts}


@pytest.mark.parametrize("name", ["Reference", "Référence", "reference number"])
def test_a_reference_is_the_case(tmp_path: Path, name: str) -> None:
    text = f"{name};patient;time;service\nr1;p1;2026-03-02T10:00:00Z;A\n"
    _, facts = planned(brought(tmp_path, "log.csv", text))
    assert facts[0]["data"]["case"] == "r1"


def test_a_row_that_says_what_the_one_before_it_said_is_an_act_and_is_told(tmp_path: Path) -> None:
    text = "case;time;service\n" + "c1;2026-03-02T10:00:00Z;A\n" * 3 + "c1;2026-03-03T10:00:00Z;A\n"
    found, facts = planned(brought(tmp_path, "log.csv", text))

    assert len({fact["id"] for fact in facts}) == 4
    assert [where for what, where in found.report.warnings.items() if "exported twice" in what] == [
        ["row 2, case c1", "row 3, case c1"]
    ]


def test_an_answer_to_a_claim_that_no_row_registers_is_told(tmp_path: Path) -> None:
    rows = "c1;2026-03-02T10:00:00Z;;2026-03-05\nc2;2026-03-02T10:00:00Z;2026-03-02;2026-03-05\nc3;2026-03-02T10:00:00Z;;\n"
    claim = ClaimMap(registered_at="start", answered_at="end")
    found, facts = planned(brought(tmp_path, "log.csv", "case;time;start;end\n" + rows), claim=claim)

    assert [fact["data"]["claim"] for fact in facts if "answered" in fact["type"]] == ["c2"]
    assert [where for what, where in found.report.warnings.items() if what.startswith("an answer")] == [["case c1"]]


def test_what_an_import_saw_is_said_in_french_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = brought(tmp_path, "journal.csv", "dossier;date;service\nNA;2026-03-02;A\n;2026-03-02;A\nc1;hier;A\n")
    one = plan(path, None, Map(), None, as_lived=False, language=1)
    assert len(list(one.lines())) == 1
    tell([one], 1, as_json=False)
    said = capsys.readouterr()
    assert "journal.csv : 3 lignes, 1 fait." in said.out
    for sentence in (
        "colonnes séparées par ';'", "colonnes : dossier = dossier", "inutilisables : pas de dossier : 1 ligne (2)",
        "inutilisables : pas une date, par exemple 'hier' : 1 ligne (3)", "à vérifier : le dossier s'appelle NA à la lettre (était-il vide ?) (ligne 1)",
    ):  # fmt: skip
        assert sentence in " ".join(said.err.split()), sentence


@pytest.mark.parametrize("as_lived", [False, True])
def test_what_is_still_to_come_has_not_happened(tmp_path: Path, *, as_lived: bool) -> None:
    later = datetime.now(UTC) + timedelta(days=300)
    path = brought(tmp_path, "log.csv", HEAD + f"c1,,A,2026-03-02T09:00:00Z\nc1,,B,{later.isoformat()}\n")
    found, facts = planned(path, as_lived=as_lived)

    assert [fact["data"]["department"] for fact in facts] == ["A"]  # type: ignore[index]
    assert found.report.unusable == {"lies in the future": [2]}


def test_a_xes_log_whose_first_event_has_no_department_has_one_all_the_same(tmp_path: Path) -> None:
    event = '<event><string key="concept:name" value="a"/><date key="time:timestamp" value="2026-03-02T09:00:00Z"/>{}</event>'
    group = '<string key="org:group" value="A"/>'
    trace = f'<trace><string key="concept:name" value="c1"/>{event.format("")}{event.format(group)}</trace>'
    found, facts = planned(brought(tmp_path, "log.xes", f'<?xml version="1.0"?><log>{trace}</log>'))

    assert [fact["data"].get("department") for fact in facts] == [None, "A"]  # type: ignore[attr-defined]
    assert not found.report.warnings


def test_what_an_import_has_to_say_is_said_to_programs_too(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    one, _ = planned(brought(tmp_path, "log.csv", HEAD + "c1,a,A,soon\nc1,a,A,2026-03-02 09:00\n"))
    tell([one], as_json=True)
    (told,) = orjson.loads(capfdbinary.readouterr().out).values()

    assert told["unusable"] == {"not a time": {"count": 1, "rows": [1], "example": "soon"}}
    assert told["warnings"]


@pytest.mark.parametrize(
    ("text", "en", "fr"),
    [
        ('tiem = "Date"', "tiem is no key of a map", "tiem n'est pas une clé d'un plan"),
        ("[claim]", "claim.registered_at is missing", "claim.registered_at manque"),
        ('[claim]\nregistered_at = "d"\nkind = "plainte"', "claim.kind is one of 'request', ", "claim.kind est l'un de 'request', "),
        ("case = 3", "case has to be a text", "case doit être un texte"),
        ("case =", "is not TOML: ", "n'est pas du TOML : "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_map_is_said_in_both_languages(tmp_path: Path, text: str, en: str, fr: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadMap) as wrong:
        read_map(path)

    (said,) = wrong.value.args
    assert en in said
    assert fr in said.fr


@pytest.mark.parametrize(("head", "advised"), [("case,time", True), ("case,date,heure", False)])
def test_a_column_of_times_of_day_is_asked_for_where_there_is_none(tmp_path: Path, head: str, *, advised: bool) -> None:
    cells = "2026-03-02" if advised else "2026-03-02,\nc1,2026-03-03,09:00"
    found, _ = planned(brought(tmp_path, "log.csv", f"{head}\nc1,{cells}\n"))
    (said,) = [one for one in found.report.warnings if "time of day" in one]

    assert said.startswith("1 date without a time of day")
    assert ("--clock" in said) is advised


@pytest.mark.parametrize(
    ("zone", "jurisdiction", "warned"),
    [("Europe/Paris", None, True), ("Europe/Paris", "fr-csp", False), ("Europe/Brussels", "fr-csp", False), ("Europe/London", None, True)],
)  # fmt: skip
def test_days_that_are_counted_elsewhere_than_in_the_file_are_warned_of(
    tmp_path: Path, zone: str, jurisdiction: str | None, *, warned: bool
) -> None:
    chosen = Map(zone=zone, claim=ClaimMap(registered_at="received", jurisdiction=jurisdiction))
    text = "case,time,received\nc1,2026-03-02 09:00,2026-03-02\n"
    one = plan(brought(tmp_path, "register.csv", text), None, chosen, None, as_lived=False)
    warn_of_days(one, Policy())

    assert any("a claim may stand a day early" in what for what in one.report.warnings) is warned


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("03-Aug-2026 09:00", "2026-08-03T09:00:00Z"), ("3 août 2026", "2026-08-03T00:00:00Z"),
        ("1er janvier 2026 à 9h05", "2026-01-01T09:05:00Z"), ("Monday, Aug 3, 2026 9:00 PM", "2026-08-03T21:00:00Z"),
        ("12 fév. 2026", "2026-02-12T00:00:00Z"), ("12-Sept-2026", "2026-09-12T00:00:00Z"), ("3 Juill. 2026", "2026-07-03T00:00:00Z"),
        ("31 juin 2026", None), ("3 jui 2026", None), ("21/09/2026 07h05", "2026-09-21T07:05:00Z"), ("21/09/2026 à 7h", "2026-09-21T07:00:00Z"),
        ("2026-09-21, 7 h 05", "2026-09-21T07:05:00Z"), ("2026-09-21 7 h05", "2026-09-21T07:05:00Z"), ("21/09/2026 25h00", None),
    ],
)  # fmt: skip
def test_a_time_can_be_in_words_in_either_language(tmp_path: Path, text: str, at: str | None) -> None:
    found, facts = planned(brought(tmp_path, "log.csv", f'case,time\nc1,"{text}"\n'))

    assert [fact["time"] for fact in facts] == ([] if at is None else [at])
    assert found.report.examples == ({} if at else {"not a time": text})
    assert found.report.is_mostly_unusable is (at is None)


def closings(facts: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (one["data"]["case"], one["time"], one["data"].get("reason", "reopened"))
        for one in facts
        if one["type"] in ("parcours.case.closed.v1", "parcours.case.reopened.v1")
    ]


def test_a_case_is_closed_when_a_column_says_so_a_day_at_its_end_and_as_answered_where_it_was(tmp_path: Path) -> None:
    chosen = {"zone": "Europe/Paris", "claim": ClaimMap(registered_at="reçu le", answered_at="répondu le")}
    text = (
        "dossier;ipp;reçu le;service;répondu le;clos le\nc1;p1;02/03/2026 09:12;A;05/03/2026;06/03/2026\nc1;p1;07/03/2026 09:12;A;05/03/2026;06/03/2026\n"
        "c2;p2;02/03/2026 09:12;A;;06/03/2026 16:30\nc3;p3;02/03/2026 09:12;A;09/03/2026;06/03/2026\nc4;p4;02/03/2026 09:12;A;;bientôt\n"
        "c4;p4;03/03/2026 09:12;A;;bientôt\nc5;p5;02/03/2026 09:12;A;;\n"
    )
    found, facts = planned(brought(tmp_path, "registre.csv", text), **chosen)

    assert closings(facts) == [
        ("c1", "2026-03-06T22:59:59Z", "answered"), ("c2", "2026-03-06T15:30:00Z", "other"), ("c3", "2026-03-06T22:59:59Z", "other"),
    ]  # fmt: skip
    assert found.report.warnings[words.NO_CLOSING] == ["case c4: bientôt"]
    states = {
        case["case"]: case["state"] for case in fold_lines([orjson.dumps(one) for one in facts], Policy())["cases"]
    }
    assert states == {"c1": "closed", "c2": "closed", "c3": "closed", "c4": "open", "c5": "open"}


def test_what_is_done_can_close_a_case_and_what_is_done_later_opens_it_again(tmp_path: Path) -> None:
    day = "2026-03-0{}T09:00:00Z"
    rows = [
        ("c1", "Closed", 3),
        ("c1", "read", 2),
        ("c1", "read", 4),
        ("c1", "Closed", 5),
        ("c2", "read", 4),
        ("c2", "Closed", 3),
    ]
    text = HEAD + "".join(f"{case},{what},A,{day.format(n)}\n" for case, what, n in rows)
    found, facts = planned(
        brought(tmp_path, "log.csv", text), closing_activities=("Closed", "Clôture"), closing_reason="abandoned"
    )

    assert closings(facts) == [
        ("c1", day.format(3), "abandoned"), ("c1", day.format(4), "reopened"), ("c1", day.format(5), "abandoned"),
    ]  # fmt: skip
    assert [what for what in found.report.warnings if "'Clôture'" in what]
    told = fold_lines([orjson.dumps(one) for one in facts], Policy())["cases"]
    assert {case["case"]: case["state"] for case in told} == {"c1": "closed", "c2": "open"}
    with pytest.raises(BadFile, match="which column is the activity"):
        planned(brought(tmp_path, "bare.csv", "case,time\nc1,2026-03-02\n"), closing_activities=("Closed",))


def test_an_answer_of_the_day_a_complaint_came_in_is_one_and_one_that_cannot_be_read_hides_no_later_one(
    tmp_path: Path,
) -> None:
    chosen = ClaimMap(registered_at="received", answered_at="answered")
    text = (
        "case,time,received,answered\nc1,2026-03-02 09:12,2026-03-02 09:12,2026-03-02\nc2,2026-03-02 09:12,2026-03-02 09:12,2026-03-01\n"
        "c3,2026-03-02 09:12,?,\nc3,2026-03-03 09:12,2026-03-02 09:12,soon\nc3,2026-03-04 09:12,2026-03-02 09:12,2026-03-05\n"
    )
    found, facts = planned(brought(tmp_path, "register.csv", text), claim=chosen)

    answered = [one["time"] for one in facts if one["type"] == "parcours.claim.answered.v1"]
    assert answered == ["2026-03-02T09:12:00Z", "2026-03-01T00:00:00Z", "2026-03-05T00:00:00Z"]
    assert found.report.warnings[words.EARLY_ANSWER] == ["case c2"]
    assert (found.report.warnings[words.NO_CLAIM], found.report.warnings[words.NO_ANSWER]) == (
        ["case c3: ?"],
        ["case c3: soon"],
    )
