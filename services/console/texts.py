"""Every word of the console, in French and English; dates and numbers as each language writes them."""

from datetime import datetime, time, timedelta, tzinfo
from typing import Literal

from babel.dates import format_date
from babel.numbers import format_decimal, format_percent

Language = Literal["fr", "en"]
LANGUAGES: tuple[Language, ...] = ("fr", "en")
LOCALES = {"fr": "fr_FR", "en": "en_GB"}
YEAR = 365
DAY = 86_400

TEXTS: dict[str, tuple[str, str]] = {
    "skip": ("Aller au contenu", "Skip to content"),
    "morning": ("Ce matin", "This morning"),
    "cases": ("Dossiers", "Cases"),
    "case": ("Dossier", "Case"),
    "claims": ("Réclamations", "Claims"),
    "claim": ("Réclamation", "Claim"),
    "departments": ("Services", "Departments"),
    "department": ("Service", "Department"),
    "topics": ("Petits flux", "Small flows"),
    "alerts": ("Alertes", "Alerts"),
    "system": ("Système", "System"),
    "menu": ("Pages", "Pages"),
    "other_language": ("English", "Français"),
    "leave": ("Se déconnecter", "Log out"),
    "as_of_now": ("Situation au {at}", "As of {at}"),
    "to_call": ("À appeler aujourd'hui", "To call today"),
    "to_call_hint": (
        "Les patients que l'on est en train de perdre, ceux qui ont le plus enduré d'abord.",
        "Patients who are being lost, those who have endured most first.",
    ),
    "taken": ("Pris en charge, pas encore résolu", "Taken on, not resolved yet"),
    "nobody_to_call": ("Personne n'attend d'appel.", "Nobody needs a call."),
    "since_yesterday": ("Depuis hier", "Since yesterday"),
    "nothing_new": ("Rien de nouveau depuis hier.", "Nothing new since yesterday."),
    "due_soon": ("Échéances d'ici demain soir", "Due by tomorrow night"),
    "nothing_due": ("Aucune réponse n'est due d'ici demain soir.", "No answer is due by tomorrow night."),
    "stopped": ("Ce qui s'est arrêté sans bruit", "What quietly stopped moving"),
    "stopped_hint": (
        "Dossiers ouverts, déjà déplacés, sans réponse et sans nouvelles depuis quatorze jours.",
        "Open cases that had moved about, unanswered, and not heard of for fourteen days.",
    ),
    "nothing_stopped": ("Aucun dossier ne s'est arrêté.", "No case has stopped."),
    "take": ("Je m'en occupe", "I'll take it"),
    "take_over": ("Reprendre à mon compte", "Take it over"),
    "done_meanwhile": (
        "{by} a agi depuis (alerte {what}, le {at}). Votre geste n'a pas été noté : pour passer outre, revenez à l'alerte.",
        "{by} has acted since (alert {what}, on {at}). What you did was not noted: to do it all the same, go back to the alert.",
    ),
    "silenced_list": ("En silence", "Silenced"),
    "silenced_until": ("jusqu'au {at} inclus", "until the end of {at}"),
    "go_back": ("Revenir à l'alerte", "Back to the alert"),
    "silence": ("Mettre en silence", "Silence"),
    "dismiss": ("Écarter", "Dismiss"),
    "why_dismiss": ("Pourquoi ce n'était pas utile", "Why it was of no use"),
    "until": ("Jusqu'au", "Until"),
    "reason_needed": (
        "Dites pourquoi : c'est ce dont les règles apprennent. Rien n'a été noté.",
        "Say why: it is what the rules learn from. Nothing was noted.",
    ),
    "not_recorded": (
        "Votre session avait pris fin : votre dernier geste n'a pas été noté. Refaites-le.",
        "Your session had ended: what you did last was not noted. Please do it again.",
    ),
    "and_more": ("et {n} de plus", "and {n} more"),
    "late_by": ("{age} de retard", "{age} late"),
    "answered_on": ("répondu le {at}", "answered on {at}"),
    "clear": ("Effacer les filtres", "Clear the filters"),
    "logged_in": ("Connecté : {name}", "Logged in: {name}"),
    "is_return": ("retour", "came back"),
    "claim_unknown_then": (
        "Cette réclamation n'était pas encore connue à cet instant.",
        "This claim was not known yet at that instant.",
    ),
    "claim_known_then": ("Telle que connue le {at}.", "As known on {at}."),
    "until_over": ("Ce jour est déjà passé.", "That day is over already."),
    "reason": ("Motif", "Reason"),
    "other_acts": ("Autres actions", "Other actions"),
    "patient": ("Patient", "Patient"),
    "now_in": ("Service actuel", "Now in"),
    "age": ("Depuis", "Open for"),
    "level": ("Niveau", "Level"),
    "why": ("Pourquoi", "Why"),
    "path": ("Parcours", "Path"),
    "last_sign": ("Dernier signe", "Last sign"),
    "due": ("Échéance", "Due"),
    "chases": ("Relances", "Chases"),
    "ladder": ("Échelon", "Step"),
    "state": ("État", "State"),
    "open": ("ouvert", "open"),
    "closed": ("clos", "closed"),
    "all": ("tous", "all"),
    "filter": ("Filtrer", "Filter"),
    "min_level": ("Niveau au moins", "Level at least"),
    "any": ("indifférent", "any"),
    "sort": ("Ordre", "Order"),
    "endured": ("le plus enduré d'abord", "most endured first"),
    "by_age": ("le plus ancien d'abord", "oldest first"),
    "find": ("Dossier, patient ou réclamation", "Case, patient or claim"),
    "begins": ("commençant par…", "beginning with…"),
    "only_closed": (
        "Aucun dossier ouvert ne répond à ces critères ; ceux-ci sont clos.",
        "No open case matches; these are closed.",
    ),
    "called": ("Réclamations de ce nom, ou de ce patient", "Claims of that name, or of that patient"),
    "caseless": ("Patients de ce nom, sans dossier", "Patients of that name, without a case"),
    "more": ("Page suivante", "Next page"),
    "first_page": ("Première page", "First page"),
    "no_case": ("Aucun dossier ne répond à ces critères.", "No case matches."),
    "no_claim": ("Aucune réclamation ne répond à ces critères.", "No claim matches."),
    "ageing": ("Âge des dossiers ouverts", "Ages of open cases"),
    "ageing_hint": (
        "Un point par dossier ouvert ; les lignes sont l'âge que 50, 85 et 95 % des dossiers finis n'ont pas dépassé.",
        "One dot for each open case; the lines are the ages that 50, 85 and 95 % of finished cases did not exceed.",
    ),
    "story": ("L'histoire", "The story"),
    "lanes": ("Le parcours, service par service", "The path, department by department"),
    "clocks": ("Les délais", "The clocks"),
    "clock": ("Délai", "Clock"),
    "why_clock": ("Pourquoi le délai en est là", "Why the clock stands where it stands"),
    "started": ("Départ", "Started"),
    "met": ("Fait", "Met"),
    "findings": ("Constats", "Findings"),
    "timeline": ("Chronologie", "Timeline"),
    "as_of": ("Ce que l'on savait alors", "What one knew then"),
    "as_of_day": ("Instant", "Instant"),
    "show": ("Montrer", "Show"),
    "back_to_now": ("Revenir à aujourd'hui", "Back to now"),
    "known_then": (
        "Tel que connu le {at} ; en gris, ce que l'on sait aujourd'hui.",
        "As known on {at}; in grey, what is known now.",
    ),
    "unknown_then": (
        "Ce dossier n'était pas encore connu à cet instant.",
        "This case was not known yet at that instant.",
    ),
    "when": ("Quand", "When"),
    "what": ("Quoi", "What"),
    "where": ("Où", "Where"),
    "hops": ("passages non prévus", "unplanned moves"),
    "hops_one": ("passage non prévu", "unplanned move"),
    "returns": ("retours", "returns"),
    "returns_one": ("retour", "return"),
    "sterile": ("passages stériles", "visits in which nothing was achieved"),
    "sterile_one": ("passage stérile", "visit in which nothing was achieved"),
    "carried": ("renvois à froid", "cold redirects"),
    "carried_one": ("renvoi à froid", "cold redirect"),
    "answered_at": ("Dernière réponse circonstanciée", "Last substantive answer"),
    "none": ("aucune", "none"),
    "matrix": ("Qui envoie à qui", "Who sends to whom"),
    "matrix_hint": (
        "De la ligne vers la colonne ; cerclé : surtout des retours.",
        "From the row to the column; ringed: mostly returns.",
    ),
    "sent": ("Envoyés", "Sent on"),
    "received": ("Reçus", "Received"),
    "came_back": ("Revenus", "Came back"),
    "returned_share": ("Part de retours", "Returned share"),
    "sterile_share": ("Passages stériles", "Nothing achieved"),
    "held": ("Durée moyenne", "Mean time held"),
    "holds": ("Détient", "Holds"),
    "holds_now": ("Ce qu'il détient", "What it holds"),
    "sends_away": (
        "Où il envoie, et d'où l'on revient chez lui",
        "Where it sends, and from where patients come back to it",
    ),
    "hours": ("{n} h", "{n} h"),
    "small": ("Les petits flux", "The small flows"),
    "small_hint": (
        "Au plus cinq contacts par semaine. Un point, un contact ; cerclé : patient ballotté ; losange : réclamation sans réponse.",
        "At most five contacts a week on average. Each dot is one contact; ringed: the patient is bounced; diamond: an unanswered claim.",
    ),
    "who_is_lost": ("Qui l'on perd", "Who is being lost"),
    "mass": ("Les flux massifs", "The mass flows"),
    "topic": ("Sujet", "Topic"),
    "contacts": ("Contacts", "Contacts"),
    "a_week": ("par semaine", "a week"),
    "bounced": ("Ballottés", "Bounced"),
    "unanswered": ("Sans réponse", "Unanswered"),
    "no_topic": ("Aucun contact n'a de sujet.", "No contact has a topic."),
    "deliveries": ("Envois", "Deliveries"),
    "quality": ("Utilité par règle", "Usefulness by rule"),
    "rule": ("Règle", "Rule"),
    "month": ("Mois", "Month"),
    "raised": ("Déclenchées", "Raised"),
    "useful": ("Utiles", "Useful"),
    "dismissed": ("Écartées", "Dismissed"),
    "share": ("Part utile", "Useful share"),
    "subscriber": ("Abonné", "Subscriber"),
    "attempts": ("Essais", "Attempts"),
    "answer": ("Réponse", "Answer"),
    "no_alert": ("Aucune alerte.", "No alert."),
    "no_delivery": ("Aucun envoi.", "No delivery."),
    "acts": ("Ce que l'on a fait", "What was done"),
    "who": ("Qui", "Who"),
    "well": ("Tout avance.", "Everything moves."),
    "watermark": ("Le journal est lu jusqu'au", "The log is read up to"),
    "lag": ("Faits en attente", "Facts waiting"),
    "services": ("Processus", "Processes"),
    "parked": ("Enregistrements mis de côté", "Parked records"),
    "parked_none": ("Rien n'est mis de côté.", "Nothing is parked."),
    "parked_some": (
        "Des enregistrements ont été mis de côté ({n}) : voyez pourquoi ci-dessous.",
        "Records were set aside ({n}): see why below.",
    ),
    "parked_elsewhere": ("Mis de côté ailleurs : {others}.", "Set aside elsewhere: {others}."),
    "alive": ("en marche", "running"),
    "silent": ("muet depuis {n} s", "silent for {n} s"),
    "generations": ("Générations", "Generations"),
    "generation": ("Génération", "Generation"),
    "same_as_log": ("conforme au journal", "as the log says"),
    "unlike_log": ("différente du journal", "not as the log says"),
    "verified": ("Dernière vérification\u00a0:", "Last verification:"),
    "never": ("jamais", "never"),
    "retry": ("Réessayer", "Retry"),
    "discard": ("Écarter", "Discard"),
    "place": ("Place", "Place"),
    "since": ("Depuis", "Since"),
    "policy": ("Règles de détection", "Policy"),
    "brake": ("Les alertes sont retenues", "Alerts are held"),
    "login": ("Entrer", "Log in"),
    "login_hint": (
        "Vous n'êtes pas entré, ou votre session a pris fin. Demandez un lien à qui tient Parcours chez vous (parcours console).",
        "You have not logged in, or your session has ended. Ask whoever keeps Parcours in your house for a link (parcours console).",
    ),
    "login_wrong": (
        "Ce lien a déjà servi ou n'est plus valable. Demandez-en un autre : parcours console.",
        "This link was used already or is no longer valid. Ask for another: parcours console.",
    ),
    "login_with": ("Entrer par {name}", "Log in with {name}"),
    "not_found": ("Introuvable", "Not found"),
    "not_found_hint": (
        "Cela n'existe pas, ou n'est pas à votre établissement ni à vos services.",
        "There is no such thing, or it is not your establishment's or your departments'.",
    ),
    "unreadable": ("Adresse illisible", "This address cannot be read"),
    "unreadable_hint": (
        "Une partie de cette adresse n'est pas ce que la page attend : repartez du menu.",
        "A part of this address is not what the page expects: start from the menu.",
    ),
    "ignored": (
        "Pas compris, donc sans effet : {what}.",
        "Not understood, and so without effect: {what}.",
    ),
    "done_acknowledged": ("C'est noté : vous vous en occupez.", "Noted: you have taken it on."),
    "done_silenced": ("C'est noté : on n'en parle plus jusque-là.", "Noted: nothing more is said of it until then."),
    "done_dismissed": ("C'est noté : ce n'était pas utile.", "Noted: it was of no use."),
    "about": ("À propos de", "About"),
    "its_alerts": ("Alertes en cours", "Alerts that stand"),
    "returned_by": ("Revenus de là", "Came back from there"),
    "forbidden_hint": (
        "Cette page ou ce geste demande un autre rôle, ou le formulaire a expiré : revenez en arrière et rechargez.",
        "This page or act needs another role, or the form has expired: go back and reload.",
    ),
    "not_now": ("Momentanément indisponible", "Not available right now"),
    "not_now_hint": (
        "La base de données ou le journal ne répond pas. Rien n'est perdu ; réessayez dans un instant.",
        "The database or the log does not answer. Nothing is lost; try again in a moment.",
    ),
    "broken": ("Une erreur de notre côté", "An error on our side"),
    "broken_hint": (
        "Cette page n'a pas pu être affichée. Le journal du service dit pourquoi.",
        "This page could not be shown. The log of the service says why.",
    ),
    "forbidden": ("Ce n'est pas dans vos droits.", "Your role does not allow this."),
    "tenant": ("Établissement", "Establishment"),
    "over_too": ("Montrer aussi celles qui sont résolues", "Show those that are resolved too"),
    "over_not": ("Seulement celles qui ne sont pas résolues", "Only those that are not resolved"),
    "newest": ("Les {n} plus récentes, les plus graves d'abord.", "The {n} newest, the gravest first."),
    "more_calls": ("Tous les dossiers, les plus malmenés d'abord", "All cases, those who have endured most first"),
    "unsaid": (
        "Hors de cette liste, parce que leur histoire est ancienne ou qu'ils viennent d'être vus :",
        "Not in this list, for their history is old or they were seen a moment ago:",
    ),
    "unsaid_cases": ("cas de ballottage", "bounced cases or patients"),
    "unsaid_cases_one": ("cas de ballottage", "bounced case or patient"),
    "unsaid_claims": ("réclamations sans réponse", "unanswered claims"),
    "unsaid_claims_one": ("réclamation sans réponse", "unanswered claim"),
    "years": ("{n} ans", "{n} years"),
    "not_drawn": (
        "Plus rien depuis le {at} ({age}) : ce silence n'est pas dessiné à l'échelle.",
        "Nothing since {at} ({age}): this silence is not drawn to scale.",
    ),
    "last_of": ("Les {n} derniers faits sur {all}.", "The last {n} of {all} facts."),
    "days": ("{n} j", "{n} d"),
    "today": ("aujourd'hui", "today"),
    "under_a_day": ("moins d'un jour", "less than a day"),
    "resolved": ("résolu", "resolved"),
    "updated": ("La page s'est mise à jour.", "The page was updated."),
    "holds_none": ("Il ne détient aucun dossier ouvert.", "It holds no open case."),
    "waiting_claims": ("Les réclamations dont il doit la réponse", "The claims it owes an answer to"),
    "all_cases_of": ("Tous les dossiers", "All cases"),
    "overdue": ("en retard", "overdue"),
    "opened": ("Ouvert le", "Opened"),
    "evidence": ("Preuves", "Evidence"),
    "colon": ("\u00a0:", ":"),
}
STATES = {
    "active": ("en service", "in use"),
    "old": ("d'avant", "the one before"),
    "building": ("en construction", "being built"),
    "raised": ("à prendre", "to take"),
    "acknowledged": ("prise en charge", "taken"),
    "silenced": ("en silence", "silenced"),
    "dismissed": ("écartée", "dismissed"),
    "resolved": ("résolue", "resolved"),
    "running": ("en cours", "running"),
    "paused": ("suspendu", "paused"),
    "met": ("fait à temps", "met"),
    "met_late": ("fait en retard", "met late"),
    "breached": ("dépassé", "breached"),
    "cancelled": ("annulé", "cancelled"),
    "open": ("ouverte", "open"),
    "answered": ("répondue", "answered"),
    "withdrawn": ("retirée", "withdrawn"),
    "concluded": ("close", "concluded"),
    "transferred": ("transmise", "transferred"),
    "ended": ("terminée", "ended"),
    "closed": ("clos", "closed"),
    "waiting": ("en attente", "waiting"),
    "delivered": ("remis", "delivered"),
    "held": ("retenu", "held"),
    "failed": ("échoué", "failed"),
    "dropped": ("abandonné", "dropped"),
    "muted": ("non dit", "not said"),
}
FACTS = {
    "contact.received": ("le patient prend contact", "the patient gets in touch"),
    "contact.handled": ("contact traité", "contact handled"),
    "contact.redirected": ("renvoyé vers un autre service", "redirected to another department"),
    "contact.abandoned": ("appel abandonné", "gave up waiting"),
    "contact.sent": ("envoi au patient", "sent to the patient"),
    "contact.undelivered": ("envoi non parvenu", "never arrived"),
    "contact.linked": ("contact rattaché", "contact linked"),
    "contact.unlinked": ("contact détaché", "contact unlinked"),
    "contact.reclassified": ("contact requalifié", "contact reclassified"),
    "case.opened": ("dossier ouvert", "case opened"),
    "case.taken": ("dossier pris en charge", "case taken"),
    "case.declined": ("« ce n'est pas chez nous »", '"not us"'),
    "case.transferred": ("dossier transféré", "case transferred"),
    "case.worked": ("acte sur le dossier", "act on the case"),
    "case.consulted": ("avis demandé", "opinion asked"),
    "case.advised": ("avis rendu", "opinion given"),
    "case.escalated": ("porté plus haut", "escalated"),
    "case.closed": ("dossier clos", "case closed"),
    "case.reopened": ("dossier rouvert", "case reopened"),
    "claim.registered": ("réclamation enregistrée", "claim registered"),
    "claim.acknowledged": ("accusé de réception", "acknowledged"),
    "claim.held": ("réponse d'attente", "holding reply"),
    "claim.answered": ("réponse à la réclamation", "claim answered"),
    "claim.paused": ("délai suspendu", "clock paused"),
    "claim.resumed": ("délai repris", "clock resumed"),
    "claim.contribution_requested": ("contribution demandée", "contribution asked"),
    "claim.contribution_provided": ("contribution reçue", "contribution given"),
    "claim.withdrawn": ("réclamation retirée", "claim withdrawn"),
    "claim.reopened": ("réclamation rouverte", "claim reopened"),
    "claim.transferred_out": ("transmise à un autre organisme", "sent to another organisation"),
    "claim.mediation_requested": ("médiation demandée", "mediation asked for"),
    "claim.mediator_met": ("rencontre avec le médiateur", "met the mediator"),
    "claim.mediator_reported": ("rapport du médiateur", "the mediator reported"),
    "claim.commission_advised": ("avis de la commission", "the commission gave its opinion"),
    "claim.concluded": ("réclamation classée", "claim concluded"),
    "recourse.opened": ("recours extérieur", "outside recourse"),
    "alert.acknowledged": ("alerte prise en charge", "alert taken"),
    "alert.silenced": ("alerte en silence", "alert silenced"),
    "alert.dismissed": ("alerte écartée", "alert dismissed"),
}

LEGEND = {
    "contact": ("contact", "contact"),
    "act": ("acte d'un service", "act of a department"),
    "redirect": ("renvoi", "sent elsewhere"),
    "claim": ("réclamation", "claim"),
    "due": ("échéance", "answer due"),
    "finding": ("constat", "finding"),
    "stay": ("passage", "visit"),
    "stay back": ("retour", "came back"),
    "stay planned": ("prévu", "planned"),
    "stay later": ("connu depuis", "known since"),
}


def index(language: Language) -> int:
    return LANGUAGES.index(language)


def text(language: Language, key: str, **values: object) -> str:
    """A text of the console. Raises KeyError for one that is not written."""
    found = TEXTS[key][index(language)]
    return found.format(**values) if values else found


def fact_said(language: Language, kind: str) -> str:
    name = kind.removeprefix("parcours.").removesuffix(".v1")
    pair = FACTS.get(name)
    return name.replace(".", " ").replace("_", " ") if pair is None else pair[index(language)]


def state_said(language: Language, state: str) -> str:
    pair = STATES.get(state)
    return state if pair is None else pair[index(language)]


def day(language: Language, at: datetime | None, zone: tzinfo) -> str:
    """A day as it is written in either language: in French the first of a month is its 1er."""
    if at is None:
        return "–"
    local = at.astimezone(zone).date()
    said = format_date(local, "d MMM y", locale=LOCALES[language])
    return f"1er{said[1:]}" if language == "fr" and local.day == 1 else said


def moment(language: Language, at: datetime | None, zone: tzinfo) -> str:
    """A day and a time of day; said to be UTC where the policy names no place with clocks of its own."""
    if at is None:
        return "–"
    local = at.astimezone(zone)
    said = f"{day(language, at, zone)}, {local:%H:%M}"
    return f"{said} UTC" if local.tzname() == "UTC" else said


def deadline(language: Language, at: datetime | None, zone: tzinfo) -> str:
    """A deadline at a local midnight is the end of the day before; any other has its time of day."""
    if at is None or at.astimezone(zone).time() != time():
        return moment(language, at, zone)
    return day(language, at - timedelta(seconds=1), zone)


def age(language: Language, since: datetime | None, now: datetime) -> str:
    if since is None:
        return "–"
    days = int((now - since).total_seconds() // DAY)
    if days >= 2 * YEAR:
        return text(language, "years", n=number(language, days // YEAR))
    return text(language, "under_a_day") if days < 1 else text(language, "days", n=number(language, days))


def number(language: Language, value: float | None) -> str:
    return "–" if value is None else format_decimal(value, locale=LOCALES[language])


def share(language: Language, value: float | None) -> str:
    return "–" if value is None else format_percent(value, locale=LOCALES[language])
