"""report: one page for somebody who has only an export file."""

from pathlib import Path
from typing import Annotated, Any, cast

import orjson
import typer

from projections.policy import Policy
from projections.rows import Log, Row, result
from services.bilingual import spoken
from services.command_line.facts import add
from services.command_line.import_plans import plan, warn_of_days
from services.command_line.importing import tell_of_rows
from services.command_line.instance import PolicyFile, read_policy
from services.command_line.showing import SPOKEN, Exit, Lang, chosen, fail, out, plainly
from services.importer.mapping import BadMap, read_map
from services.importer.words import counted
from services.report.page import Language, page


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(plainly(report))


def report(
    file: Annotated[
        Path, typer.Argument(help="An event log (XES, CSV), facts (JSONL), or what `export` or `fold` printed.")
    ],
    to: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")],
    lang: Lang = SPOKEN,
    case: Annotated[str | None, typer.Option("--case", help="Column of the case.")] = None,
    patient: Annotated[
        str | None, typer.Option("--patient", help="Column of the patient (default: one of that name, else the case).")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", help="Column of the time.")] = None,
    clock: Annotated[
        str | None, typer.Option("--clock", help="Column of the time of day, where the time's column has only the day.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="Zone of times without one, as in Europe/Paris.")] = None,
    department: Annotated[str | None, typer.Option("--department", help="Column of the department.")] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="A cell with this value is empty.")] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="A map in TOML, or the shipped receipt.toml.")] = None,
    policy_file: PolicyFile = None,
) -> None:
    """Write one self-contained page about a file, without any server: bounced cases, moves, the longest paths.

    Example: parcours report log.xes.gz --department org:resource -o log.html --lang fr
    """
    language = chosen(lang)
    policy, found = read_policy(policy_file) or Policy(), _result(file)
    if found is None:
        named = {
            "case": case, "patient": patient, "time": time, "clock": clock, "department": department, "zone": zone,
        }  # fmt: skip
        try:
            columns = read_map(map_file).model_copy(
                update={name: value for name, value in named.items() if value is not None}
            )
        except BadMap as wrong:
            fail(spoken(wrong.args[0], language), Exit.USAGE)
        columns = columns.model_copy(update={"ignore": (*columns.ignore, *(ignore or ()))})
        one = plan(file, None, columns, None, as_lived=True, language=language)
        warn_of_days(one, policy)
        log = Log(policy)
        for raw in one.lines():
            add(log, raw)
        found = result(log)
        tell_of_rows(one.report, language)
    to.write_text(page(found, file.name, cast("Language", lang), policy), encoding="utf-8")
    n = len(found["cases"])
    out.print((f"{to}: {counted(n, 'case')}.", f"{to} : {counted(n, 'dossier')}.")[lang == "fr"], markup=False)


def _result(file: Path) -> Row | None:
    """What `export` or `fold` printed, if the file is that."""
    if file.suffix != ".json":
        return None
    try:
        found: Any = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and {"cases", "claims", "watermark"} <= found.keys() else None
