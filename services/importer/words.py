"""What an importer has to say, in both languages."""

from services.bilingual import Both


def counted(n: int, noun: str) -> str:
    """So many of something, in either language: none is one in French, and more than one in English."""
    is_many = n > 1 or (n == 0 and noun in ("row", "fact", "case", "line"))
    return f"{n} {noun}s" if is_many else f"{n} {noun}"


def row(number: int) -> Both:
    """Where something is."""
    return Both(f"row {number}", f"ligne {number}")


def case(name: str) -> Both:
    """Where something is."""
    return Both(f"case {name}", f"dossier {name}")


def case_said(name: str, text: str) -> Both:
    """Where something is, and what stands there."""
    return Both(f"case {name}: {text[:40]}", f"dossier {name} : {text[:40]}")


def row_of_case(number: int, name: str) -> Both:
    """Where something is."""
    return Both(f"row {number}, case {name}", f"ligne {number}, dossier {name}")


CELLS = Both(
    "more or fewer cells than the header has (a quote that is not closed?)",
    "plus ou moins de cellules que l'en-tête (un guillemet qui n'est pas fermé ?)",
)
BACKWARDS = Both(
    "dates run backwards inside a case (are day and month swapped?)",
    "les dates reculent dans un même dossier (jour et mois inversés ?)",
)
NO_CASE = Both("no case", "pas de dossier")
NOT_APPLICABLE = Both(
    "the case is literally NA (was it empty?)", "le dossier s'appelle NA à la lettre (était-il vide ?)"
)
NO_CLAIM = Both(
    "no claim: its time of registration cannot be read, or lies in the future",
    "pas de réclamation : sa date d'enregistrement est illisible, ou à venir",
)
NO_ANSWER = Both(
    "no answer: its time cannot be read, or lies in the future", "pas de réponse : sa date est illisible, ou à venir"
)
EARLY_ANSWER = Both(
    "the answer lies before the claim: it is none",
    "la réponse précède la réclamation : ce n'en est pas une",
)
NO_CLOSING = Both(
    "not closed: the time of it cannot be read, or lies in the future",
    "pas de clôture : sa date est illisible, ou à venir",
)
NO_DEADLINE = Both("no deadline of its own: it cannot be read", "pas d'échéance propre : elle est illisible")
NO_DEPARTMENT = Both(
    "no column is the department, so nobody can be found sent from one to another: say --department NAME",
    "aucune colonne n'est le service : on ne peut voir personne renvoyé de l'un à l'autre ; indiquez --department NOM",
)
PATIENT_AS_CASE = Both(
    "no column is the case, so all of a patient's acts are one case: say --case NAME",
    "aucune colonne n'est le dossier : tous les actes d'un patient font un seul dossier ; indiquez --case NOM",
)
CASE_AS_PATIENT = Both(
    "no column is the patient, so each case is a person of its own: say --patient NAME",
    "aucune colonne n'est le patient : chaque dossier compte pour une personne ; indiquez --patient NOM",
)
NO_PATIENT = Both(
    "no patient: the case counts as a person of its own", "pas de patient : le dossier compte pour une personne"
)
SEVERAL_PATIENTS = Both(
    "rows of one case name several patients, or not all of them one: each of them has a case of that name, and their acts are not joined",
    "les lignes d'un même dossier indiquent plusieurs patients, ou pas toutes le même : chacun a un dossier de ce nom, et leurs actes ne"
    " se suivent pas",
)
REPEATED = Both(
    "says what the row before it says: an act of its own (was it exported twice?)",
    "répète la ligne précédente : un acte de plus (l'a-t-on exportée deux fois ?)",
)
UNREGISTERED = Both(
    "an answer, and no time at which the claim was registered: no claim",
    "une réponse, mais pas de date d'enregistrement : pas de réclamation",
)
NOWHERE = Both("no department: an act that moves nothing", "pas de service : un acte qui ne déplace rien")
NOT_A_TIME = Both("not a time", "pas une date")
FUTURE = Both("lies in the future", "date à venir")


def longer_case(longest: int) -> Both:
    """A case that is no case."""
    return Both(f"a case longer than {longest} characters", f"un dossier de plus de {longest} caractères")


def literally(department: str) -> Both:
    """A department that may be none."""
    return Both(
        f"the department is literally {department} (say --ignore {department} if it means none)",
        f"le service s'appelle {department} à la lettre (indiquez --ignore {department} si cela veut dire aucun)",
    )


def never_done(activity: str) -> Both:
    """An activity that was to close cases."""
    return Both(
        f"no row has the activity {activity!r}, which the map says closes a case",
        f"aucune ligne n'a l'activité {activity!r}, dont le plan dit qu'elle clôt un dossier",
    )


def outside(first: int, last: int) -> Both:
    """A time that no clock has."""
    return Both(f"a time outside {first} to {last}", f"une date hors de {first} à {last}")


def no_column(name: str, there: str) -> Both:
    """A column of a claim that is not there."""
    return Both(
        f"there is no column {name!r} for the claim; there are: {there}",
        f"aucune colonne {name!r} pour la réclamation ; il y a : {there}",
    )


def not_seen(name: str) -> Both:
    """A column of a claim that the first events do not have."""
    return Both(
        f"{name!r}, which the map names for the claim, is in none of the first events",
        f"{name!r}, que le plan indique pour la réclamation, ne figure dans aucun des premiers événements",
    )


def doubtful(n: int, *, day_first: bool) -> Both:
    """Dates that can be read in two ways."""
    first = ("day", "le jour") if day_first else ("month", "le mois")
    return Both(
        f"{counted(n, 'date')} can be read day first or month first: read {first[0]} first",
        f"{counted(n, 'date')} à lire jour ou mois en premier : {first[1]} a été lu en premier",
    )


def short_years(n: int, short: str) -> Both:
    """Years said in two digits, and how one of them was read."""
    return Both(
        f"{counted(n, 'date')} with a year of two digits: {short} was read as 20{short}",
        f"{counted(n, 'date')} dont l'année a deux chiffres : {short} a été lu 20{short}",
    )


def without_clock(n: int, *, has_clock: bool) -> Both:
    """Days that were to be times, in a file that has a column of times of day, or none."""
    advice, conseil = ("", "") if has_clock else (" (say --clock)", " (indiquez --clock)")
    return Both(
        f"{counted(n, 'date')} without a time of day{advice}: read as midnight",
        f"{counted(n, 'date')} sans heure{conseil} : minuit a été retenu",
    )


def without_zone(n: int) -> Both:
    """Times of which nobody says where."""
    return Both(
        f"{counted(n, 'date')} without a zone: read as UTC (say --zone)",
        f"{counted(n, 'date')} sans fuseau : UTC a été retenu (indiquez --zone)",
    )


def other_days(zone: str, jurisdiction: str, theirs: str) -> Both:
    """Claims whose days are counted elsewhere than where they were written down."""
    return Both(
        f"the file's days are those of {zone}, its claims' those of {theirs} (jurisdiction {jurisdiction}): a claim may stand a day early"
        " or late (name their jurisdiction in the map or the policy)",
        f"les jours du fichier sont ceux de {zone}, ceux de ses réclamations {theirs} (juridiction {jurisdiction}) : une réclamation peut"
        " paraître un jour trop tôt ou trop tard (indiquez leur juridiction dans le plan ou la politique)",
    )


def swapped(days: float, fewer: float) -> Both:
    """A spreadsheet that has swapped day and month."""
    return Both(
        f"day and month look swapped: cases last {days:.0f} days on average, {fewer:.0f} if they are swapped back",
        f"jour et mois semblent inversés : les dossiers durent {days:.0f} jours en moyenne, {fewer:.0f} si on les remet à l'endroit",
    )
