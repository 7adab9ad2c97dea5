"""What is found, said in French and English, with the facts that show it. Never a word written by a patient."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from projections.claim import Claim
from projections.clocks import Clock
from projections.findings import Finding
from projections.owed import Step
from projections.path import Path, Visit
from projections.patient import PatientFile

LONGEST_PATH = 12
_MOMENT = timedelta(microseconds=1)
DaySaid = Callable[[datetime, ZoneInfo], str]
MONTHS_FR = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
    "décembre",
)  # fmt: skip
MONTHS_EN = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


class Said(NamedTuple):
    """One reason or line in both languages, with the names of the facts it rests on."""

    code: str
    en: str
    fr: str
    evidence: tuple[str, ...] = ()


TITLES = {
    "bounced_case": ("Case sent from department to department", "Dossier ballotté de service en service"),
    "bounced_patient": ("Patient sent from department to department, no case opened", "Patient ballotté, sans dossier"),
    "unanswered_claim": ("Claim without an answer", "Réclamation sans réponse"),
    "missed_clock": ("A step owed to the claimant was missed", "Une étape due au réclamant a été manquée"),
    "illegitimate_pause": ("Clock paused without a valid reason", "Délai suspendu sans motif valable"),
    "deemed_decision": ("Silence now counts as a decision", "Le silence vaut désormais décision"),
    "late_contribution": ("A department's part of the answer is late", "La contribution d'un service est en retard"),
}
CLOCKS = {
    "acknowledge": ("acknowledgement", "accusé de réception"),
    "answer": ("answer", "réponse"),
    "update": ("news to the claimant", "nouvelles au réclamant"),
    "next": ("reply to the claimant's message", "réponse au message du réclamant"),
    "visit": ("act of the department in charge", "acte du service qui détient le dossier"),
    "final": ("legal limit", "délai légal"),
    "mediator_meeting": ("meeting with the mediator", "rencontre avec le médiateur"),
    "mediator_report": ("mediator's report", "rapport du médiateur"),
    "commission": ("answer after the commission", "réponse après la commission"),
}
PAUSE_REASONS = {
    "waiting_claimant": ("waiting for the claimant", "attente du réclamant"),
    "consent_missing": ("consent missing", "consentement manquant"),
    "legal_hold": ("legal hold", "procédure en cours"),
    "other": ("another reason", "autre motif"),
}
STEP_WORDS = PAUSE_REASONS | {
    "refusal": ("refusal", "refus"),
    "negative": ("negative conclusions", "conclusions négatives"),
}
LEVELS = {
    "B1": ("moved", "déplacé"),
    "B2": ("bounced", "ballotté"),
    "B3": ("ping-pong", "ping-pong"),
    "B4": ("trapped", "pris au piège"),
}
LADDER = {
    "U0": ("on track", "dans les temps"),
    "U1": ("time is running out", "le délai s'épuise"),
    "U2": ("acknowledgement or news missing", "accusé ou nouvelles manquants"),
    "U3": ("unanswered", "sans réponse"),
    "U4": ("unanswered for long, or chased", "sans réponse depuis longtemps, ou relancée"),
    "U5": ("beyond the legal limit", "au-delà du délai légal"),
}


def day_en(at: datetime, zone: ZoneInfo) -> str:
    day = at.astimezone(zone)
    return f"{day.day} {MONTHS_EN[day.month - 1]} {day.year}"


def day_fr(at: datetime, zone: ZoneInfo) -> str:
    day = at.astimezone(zone)
    return f"{'1er' if day.day == 1 else day.day} {MONTHS_FR[day.month - 1]} {day.year}"


@lru_cache(maxsize=4096)  # most deadlines are the end of a day, and many share it
def deadline_en(due: datetime, zone: ZoneInfo) -> str:
    """A deadline at a local midnight is the end of the day before."""
    return _deadline(due, zone, day_en)


@lru_cache(maxsize=4096)
def deadline_fr(due: datetime, zone: ZoneInfo) -> str:
    return _deadline(due, zone, day_fr)


def _deadline(due: datetime, zone: ZoneInfo, said: DaySaid) -> str:
    return said(due - _MOMENT if _is_midnight(due, zone) else due, zone)


def _is_midnight(at: datetime, zone: ZoneInfo) -> bool:
    local = at.astimezone(zone)
    return local.hour == local.minute == local.second == 0


def until_when(due: datetime, zone: ZoneInfo) -> tuple[str, str]:
    """Until when something is due, in English and French: the end of a day, or the moment that was named."""
    en, fr = deadline_en(due, zone), deadline_fr(due, zone)
    if _is_midnight(due, zone):
        return f"by the end of {en}", f"le {fr} au soir"
    at = f"{due.astimezone(zone):%H:%M}"
    return f"by {at} on {en}", f"le {fr} à {at}"


def arrows(departments: Iterable[str]) -> str:
    """A path at a glance; a long one keeps its beginning and its end."""
    names = list(departments)
    if len(names) > LONGEST_PATH:
        half = LONGEST_PATH // 2
        names = [*names[:half], "…", *names[-half:]]
    return " → ".join(names)


def reasons(file: PatientFile, found: Finding) -> list[Said]:
    """Why a finding is so, with the identities of the facts that show it."""
    match found.kind:
        case "bounced_case":
            return _bounced_case(file, found)
        case "bounced_patient":
            return _bounced_patient(file, found)
        case _:
            claim = file.claims.get(found.claim or "")
            return [] if claim is None else _claim_reasons(claim, found)


def passages(n: int, of: str) -> str:
    """So many visits of a kind, in French."""
    s = "s" if n > 1 else ""
    return f"{n} passage{s} {of}{s}"


def _bounced_case(file: PatientFile, found: Finding) -> list[Said]:
    case = file.cases.get(found.case or "")
    number = int(found.id.rsplit(":", 1)[1])
    path = next((path for path in case.paths if path.number == number), None) if case else None
    if path is None:
        return []
    said = [
        Said(
            "path",
            f"{path.hops} unplanned move{'' if path.hops == 1 else 's'}: {arrows(path.departments)}",
            f"{passages(path.hops, 'non prévu')} : {arrows(path.departments)}",
            tuple(visit.fact for visit in path.visits),
        )
    ]
    return said + _path_reasons(path)


def _path_reasons(path: Path) -> list[Said]:
    said = []
    if path.returns:
        said.append(
            Said(
                "returns",
                f"came back {times_en(path.returns)} to a department that had sent it away",
                f"revenu {path.returns} fois dans un service qui l'avait renvoyé",
                tuple(visit.fact for visit in _returns(path.visits)),
            )
        )
    if path.alternation > 3:
        said.append(
            Said(
                "ping_pong",
                f"back and forth between two departments over {path.alternation} visits",
                f"va-et-vient entre deux services sur {path.alternation} passages",
            )
        )
    if path.sterile:
        said.append(
            Said(
                "sterile",
                f"{path.sterile} visit{'' if path.sterile == 1 else 's'} in which nothing was achieved",
                passages(path.sterile, "stérile"),
                tuple(path.sterile_visits),
            )
        )
    if path.carried:
        said.append(
            Said(
                "carried",
                f"the patient was told {times_en(path.carried)} to call another department",
                f"le patient a été renvoyé {path.carried} fois à froid vers un autre service",
                tuple(path.redirects),
            )
        )
    if path.is_open:
        said.append(Said("no_answer", "no substantive answer so far", "aucune réponse circonstanciée à ce jour"))
    return said


def times_en(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def _returns(visits: list[Visit]) -> list[Visit]:
    seen: set[str] = set()
    back = []
    for visit in visits:
        if visit.department in seen and not visit.planned:
            back.append(visit)
        seen.add(visit.department)
    return back


def _bounced_patient(file: PatientFile, found: Finding) -> list[Said]:
    topic = file.topics.get(found.topic or "")
    if topic is None:
        return []
    departments = sorted({meeting.department for meeting in topic.shown})
    redirects = [meeting.fact for meeting in topic.shown if meeting.sent_on]
    evidence = tuple(meeting.fact for meeting in topic.shown)
    said = [
        Said(
            "departments",
            f"met in {len(departments)} departments about one topic: {', '.join(departments)}",
            f"passé par {len(departments)} services pour un même sujet : {', '.join(departments)}",
            evidence,
        )
    ]
    if redirects:
        said.append(
            Said(
                "carried",
                f"told {times_en(len(redirects))} to call another department",
                f"renvoyé {len(redirects)} fois à froid vers un autre service",
                tuple(redirects),
            )
        )
    return said


def _claim_reasons(claim: Claim, found: Finding) -> list[Said]:
    zone = claim.calendar.tz
    if claim.state == "answered" and claim.answered_at is not None:
        until = claim.answered_at
        en = f"waited from {day_en(claim.t0, zone)} until {day_en(until, zone)}"
        fr = f"a attendu du {day_fr(claim.t0, zone)} au {day_fr(until, zone)}"
    elif claim.is_over:
        en, fr = f"registered on {day_en(claim.t0, zone)}", f"enregistrée le {day_fr(claim.t0, zone)}"
    else:
        en, fr = f"waiting since {day_en(claim.t0, zone)}", f"en attente depuis le {day_fr(claim.t0, zone)}"
    start = Said("since", f"{en} ({claim.jurisdiction.name_en})", f"{fr} ({claim.jurisdiction.name_fr})", (claim.fact,))
    said = [start, *_clock_reasons(claim, found)]
    if found.kind == "illegitimate_pause":
        pause = next((p for p in claim.pauses.refused if found.id.endswith(f":{p.fact}")), None)
        if pause is not None:
            en, fr = PAUSE_REASONS[pause.reason]
            said.append(Said("pause", f"paused ({en}) without credit", f"suspendu ({fr}) sans crédit", (pause.fact,)))
    if found.kind == "late_contribution":
        part = next((p for p in claim.contributions if found.id.endswith(f":{p.fact}")), None)
        if part is not None:
            en, fr = until_when(part.due_at, zone)
            said.append(
                Said(
                    "contribution",
                    f"{part.department} owed its part {en}",
                    f"{part.department} devait sa contribution, échéance {fr}",
                    (part.fact,),
                )
            )
    if claim.chases and found.kind == "unanswered_claim":
        n = len(claim.chases)
        said.append(Said("chases", f"chased {times_en(n)}", f"relancée {n} fois par le patient", tuple(claim.chases)))
    return said


def _clock_reasons(claim: Claim, found: Finding) -> list[Said]:
    names = {"unanswered_claim": ("answer", "final"), "deemed_decision": ("final",)}.get(found.kind, (found.level,))
    zone = claim.calendar.tz
    said = []
    for name in names:
        clock = _late(claim, name)
        if clock is None:
            continue
        en, fr = CLOCKS[clock.name]
        until_en, until_fr = until_when(clock.due_at, zone)
        said.append(Said(f"{clock.name}_late", f"{en} due {until_en}", f"{fr} : échéance {until_fr}", (clock.fact,)))
    return said


def _late(claim: Claim, name: str | None) -> Clock | None:
    """The last instance of a clock that was, or is, late."""
    for clock in reversed(claim.clocks):
        if clock.name == name and clock.state in ("breached", "met_late"):
            return clock
    return None


STEPS = {
    "started": ("{clock} starts; due by the end of {when}", "{clock} : départ ; échéance le {when}"),
    "chased": ("the patient chases", "le patient relance"),
    "met": ("{clock}: in time", "{clock} : dans les temps"),
    "met_late": ("{clock}: done, but late (due {when})", "{clock} : fait, mais en retard (échéance le {when})"),
    "breached": ("{clock}: due moment passed without it", "{clock} : échéance passée sans que ce soit fait"),
    "hold_moved": (
        "the promise moves the due moment to {when}; it does not answer the claim",
        "la promesse reporte l'échéance au {when} ; elle ne répond pas à la réclamation",
    ),
    "hold_not_moved": (
        "the promise does not move the due moment ({when})",
        "la promesse ne reporte pas l'échéance ({when})",
    ),
    "agreed_moved": ("the date agreed moves the due moment to {when}", "la date convenue reporte l'échéance au {when}"),
    "agreed_not_moved": (
        "the date agreed does not move the due moment ({when})",
        "la date convenue ne reporte pas l'échéance ({when})",
    ),
    "held": ("holding reply; it does not answer the claim", "réponse d'attente ; ne répond pas à la réclamation"),
    "bare_acknowledgement": (
        "automatic receipt without reference, contact and date: acknowledges nothing",
        "accusé automatique sans référence, contact ni date : n'accuse rien",
    ),
    "answered": ("complete answer", "réponse complète"),
    "partly_answered": (
        "part of the issues answered; the rest is still owed",
        "réponse partielle ; le reste est toujours dû",
    ),
    "paused": ("paused ({word}); answer now due {when}", "suspendu ({word}) ; échéance de la réponse : {when}"),
    "pause_ignored": ("already paused: changes nothing", "déjà suspendu : sans effet"),
    "pause_refused": ("pause not credited ({word})", "suspension non créditée ({word})"),
    "pause_ended_by_message": (
        "the claimant's message ends the pause; answer due {when}",
        "le message du réclamant met fin à la suspension ; échéance : {when}",
    ),
    "pause_ran_out": (
        "the pause has reached its limit; answer due {when}",
        "la suspension a atteint sa limite ; échéance : {when}",
    ),
    "resumed": ("resumed; answer due {when}", "reprise ; échéance de la réponse : {when}"),
    "withdrawn": ("withdrawn", "retirée"),
    "ended": ("ended: answered in another case", "terminée : répondue dans un autre dossier"),
    "over": (
        "nothing more is owed; running clocks are cancelled",
        "plus rien n'est dû ; les délais courants s'arrêtent",
    ),
    "reopened": (
        "reopened: earlier answers no longer complete it; what was late stays late",
        "rouverte : les réponses antérieures ne suffisent plus ; ce qui fut en retard le reste",
    ),
    "reopened_nothing": (
        "reopened while still open: changes nothing",
        "rouverte alors qu'elle était ouverte : sans effet",
    ),
    "concluded": (
        "file closed; clocks go on without a complete answer",
        "dossier clos ; sans réponse complète les délais courent",
    ),
    "transferred_out": (
        "sent to another organisation; the answer is still owed",
        "transmise à un autre organisme ; la réponse reste due",
    ),
    "contribution_asked": ("{word} is asked for its part by {when}", "contribution demandée à {word} pour le {when}"),
    "contribution_given": ("{word} gave its part", "contribution de {word} reçue"),
    "contribution_late": ("the part of {word} is late", "la contribution de {word} est en retard"),
    "deemed": ("silence now counts as a decision ({word})", "le silence vaut désormais décision ({word})"),
}


def line(claim: Claim, step: Step) -> Said:
    """A line of "why the clock stands where it stands", in both languages."""
    zone = claim.calendar.tz
    en, fr = STEPS[step.code]
    clock_en, clock_fr = CLOCKS.get(step.clock or "", (step.clock or "", step.clock or ""))
    word_en, word_fr = STEP_WORDS.get(step.word or "", (step.word or "", step.word or ""))
    when_en = "" if step.when is None else deadline_en(step.when, zone)
    when_fr = "" if step.when is None else deadline_fr(step.when, zone)
    evidence = (step.fact,) if step.fact else ()
    return Said(
        step.code,
        f"{day_en(step.at, zone)}: {en.format(clock=clock_en, when=when_en, word=word_en)}",
        f"{day_fr(step.at, zone)} : {fr.format(clock=clock_fr, when=when_fr, word=word_fr)}",
        evidence,
    )


def explanation(claim: Claim) -> list[Said]:
    """Every line of a claim's explanation, in the order things happened."""
    return [line(claim, step) for step in claim.steps]
