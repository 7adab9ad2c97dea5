"""subscription: who is told of alerts, and by which way."""

import os
import re
import secrets as randomness
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Annotated, Any, get_args

import typer

from events.alerts import Severity
from services import tables_alerts as tables
from services.command_line.showing import (
    AsJson,
    Exit,
    Home,
    Problem,
    Tenant,
    check_tenant,
    err,
    fail,
    fail_for,
    heads,
    here,
    out,
    plainly,
    print_json,
    print_table,
    run,
    said,
)
from services.notifier.hours import Hours, InvalidHours
from services.notifier.sending import deliver, ways
from services.tables import connected
from services.tables_alerts import Subscription
from services.tables_messages import Message
from services.webhook_addresses import Forbidden, check_address, is_mail_address, new_secret

KINDS = ("kafka", "webhook", "sse", "email", "apprise")
FOR_PEOPLE = ("email", "apprise")
OFFICE = {"zone": "Europe/Paris", "country": "FR", "from": "08:00", "to": "18:00"}
SPAN = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)")
Number = Annotated[str, typer.Argument(metavar="ID")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    made = typer.Typer(help="Who is told of alerts.", no_args_is_help=True)
    for name, command in (
        ("add", add), ("list", list_subscriptions), ("test", send_test), ("pause", pause), ("resume", resume), ("remove", remove),
        ("rotate", rotate), ("allow-host", allow_host), ("forbid-host", forbid_host),
    ):  # fmt: skip
        made.command(name)(plainly(command))
    app.add_typer(made, name="subscription")


def add(
    kind: Annotated[str, typer.Option("--kind", help="webhook, email, apprise (chat, SMS…); kafka and sse need none but may be listed.")],
    target: Annotated[str, typer.Option("--to", help="The address: an https URL, a mail address, an Apprise URL.")] = "",
    home: Home = None,
    tenant: Annotated[str, typer.Option("--tenant", help="The establishment.")] = "default",
    role: Annotated[str, typer.Option("--role", help="team, head, admin, all, or a role your rules name.")] = "team",
    lang: Annotated[str, typer.Option("--lang", help="fr or en.")] = "fr",
    department: Annotated[list[str] | None, typer.Option("--department", help="Only these (may be repeated).")] = None,
    rule: Annotated[list[str] | None, typer.Option("--rule", help="Only these rules or findings (may be repeated).")] = None,
    severity: Annotated[str | None, typer.Option("--severity", help="From low, medium, high or critical on.")] = None,
    hours: Annotated[
        str | None, typer.Option("--hours", help="When it may be told, as in 08:00-18:00; always for machines, office hours for people.")
    ] = None,
    zone: Annotated[str, typer.Option("--zone", help="The zone of its hours.")] = "Europe/Paris",
    country: Annotated[str | None, typer.Option("--country", help="Whose holidays it keeps, as in FR or CA-QC.")] = "FR",
    digest: Annotated[str | None, typer.Option("--digest", help="One message a day at this hour, as in 07:45.")] = None,
    *,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Add a subscriber. A webhook's secret is shown this once.

    Example: parcours subscription add --kind webhook --to https://example.org/hook --department cardio --lang en
    """
    one = subscription(
        kind, target, tenant, role, lang, {"departments": department, "rules": rule, "severity": severity}, digest,
        office_hours(kind, hours, zone, country),
    )  # fmt: skip
    _, found = here(home)

    async def write() -> None:
        async with connected(str(found["postgres"]), "subscription") as connection:
            if one.kind == "webhook":
                check_address(one.target, frozenset(await tables.setting(connection, "allowed_hosts") or ()))
            await tables.add_subscription(connection, one)

    try:
        run(write())
    except Forbidden as wrong:
        raise Problem(str(wrong)) from None
    if as_json:
        print_json({"id": one.id, "secret": one.secrets[0] if one.secrets else None})
    else:
        out.print(
            f"{one.id} {one.secrets[0] if one.secrets else ''}".strip(), markup=False, highlight=False, soft_wrap=True
        )
    if one.kind == "email" and not os.environ.get("PARCOURS_SMTP"):
        err.print(
            said(
                "No mail server is set here: mails wait until the notifier finds one in PARCOURS_SMTP.",
                "Aucun serveur de courriel n'est indiqué ici : les courriels attendent que le service d'envoi en trouve un dans"
                " PARCOURS_SMTP.",
            )
        )


def subscription(
    kind: str, target: str, tenant: str, role: str, lang: str, filters: dict[str, Any], digest: str | None,
    hours: dict[str, Any] | None,
) -> Subscription:  # fmt: skip
    """A new subscription, checked. Ends with a sentence for what is wrong."""
    if kind not in KINDS:
        fail_for("--kind", KINDS, kind)
    if kind in ("webhook", *FOR_PEOPLE) and not target:
        fail(said(f"--to is needed for {kind}", f"--to est nécessaire pour {kind}"), Exit.USAGE)
    if kind == "email" and not is_mail_address(target):
        fail(
            said(
                f"--to must be a mail address, not {target!r}",
                f"--to doit être une adresse de courriel, pas {target!r}",
            ),
            Exit.USAGE,
        )
    check_tenant(tenant)
    if lang not in ("fr", "en"):
        fail_for("--lang", ("fr", "en"), lang)
    if filters["severity"] is not None and filters["severity"] not in get_args(Severity):
        fail_for("--severity", get_args(Severity), filters["severity"])
    if digest is not None:
        try:
            time.fromisoformat(digest)
        except ValueError:
            fail(
                said(
                    f"--digest must be a time of day as in 07:45, not {digest!r}",
                    f"--digest doit être une heure, par exemple 07:45, pas {digest!r}",
                ),
                Exit.USAGE,
            )
    kept = {name: value for name, value in filters.items() if value}
    secret = (new_secret(),) if kind == "webhook" else ()
    number = randomness.token_hex(4)
    return Subscription(number, tenant, kind, target, role, lang, kept, hours, digest, secret, "active")


def office_hours(kind: str, hours: str | None, zone: str, country: str | None) -> dict[str, Any] | None:
    """The hours of a subscriber: as asked for, else office hours for people and always for machines."""
    if hours is None and kind not in FOR_PEOPLE:
        return None
    span = SPAN.fullmatch(hours or "08:00-18:00")
    if span is None:
        fail(
            said(
                f"--hours must be as in 08:00-18:00, not {hours!r}",
                f"--hours s'écrit par exemple 08:00-18:00, pas {hours!r}",
            ),
            Exit.USAGE,
        )
    place, _, subdivision = (country or "").partition("-")
    named = {"zone": zone, "country": place or None, "subdivision": subdivision or None, "from": span[1], "to": span[2]}
    try:
        Hours.of(named)
    except InvalidHours as wrong:
        fail(str(wrong), Exit.USAGE)
    return named


def list_subscriptions(home: Home = None, tenant: Tenant = None, *, as_json: AsJson = False) -> None:
    """Every subscriber; never a secret.

    Example: parcours subscription list
    """
    _, found = here(home)

    async def read() -> list[Subscription]:
        async with connected(str(found["postgres"]), "subscription") as connection:
            return await tables.subscriptions(connection, tenant)

    rows = [shown(one) for one in run(read())]
    if as_json:
        print_json(rows)
    else:
        columns = ("id", "tenant", "kind", "to", "role", "language", "state", "notice")
        print_table(
            said("Subscriptions", "Abonnés"), heads(*columns), [tuple(row[name] for name in columns) for row in rows]
        )


def shown(one: Subscription) -> dict[str, Any]:
    """A subscription without its secrets; an Apprise address holds passwords, so only its kind of service is shown."""
    target = f"{one.target.partition('://')[0]}://…" if one.kind == "apprise" else one.target
    return {
        "id": one.id, "tenant": one.tenant, "kind": one.kind, "to": target, "role": one.role, "language": one.language,
        "filters": one.filters, "hours": one.hours, "digest": one.digest, "state": one.state, "notice": one.notice,
    }  # fmt: skip


def send_test(number: Number, home: Home = None) -> None:
    """Send a test message now, and say what was answered.

    Example: parcours subscription test 1a2b3c4d
    """
    _, found = here(home)

    async def send() -> str:
        async with connected(str(found["postgres"]), "subscription") as connection:
            one = next((s for s in await tables.subscriptions(connection) if s.id == number), None)
            allowed = frozenset(await tables.setting(connection, "allowed_hosts") or ())
        if one is None:
            raise _unknown(number)
        if one.kind in ("kafka", "sse"):
            return said("nothing to test: it reads by itself", "rien à essayer : il lit de lui-même")
        by = ways(str(found.get("api") or ""))
        try:
            message = Message(0, f"msg_test_{randomness.token_hex(8)}", "test", "low", "test", 1, ())
            answer = await deliver(one, message, by, allowed, words(one.language))
        finally:
            await by.client.aclose()
        if not answer.ok:
            raise Problem(said(f"not taken: {answer.text}", f"refusé : {answer.text}"))
        return said(f"taken: {answer.text}", f"accepté : {answer.text}")

    out.print(run(send()), markup=False)


def _unknown(number: str) -> Problem:
    return Problem(
        said(
            f"there is no subscription {number}: see parcours subscription list",
            f"aucun abonné {number} : voir parcours subscription list",
        )
    )


def words(language: str) -> str:
    from services.notifier.words import TEST, index

    return TEST[index(language)]


def _set_state(home: Any, number: str, state: str, notice: str | None) -> None:
    _, found = here(home)

    async def write() -> bool:
        async with connected(str(found["postgres"]), "subscription") as connection:
            return await tables.set_state(connection, number, state, notice)

    if not run(write()):
        raise _unknown(number)


def pause(number: Number, home: Home = None) -> None:
    """Send it nothing for now; its alerts wait.

    Example: parcours subscription pause 1a2b3c4d
    """
    _set_state(home, number, "paused", f"by hand, {datetime.now(UTC):%Y-%m-%d}")
    out.print(said("Paused.", "En pause."))


def resume(number: Number, home: Home = None) -> None:
    """Send to it again, beginning with what waits.

    Example: parcours subscription resume 1a2b3c4d
    """
    _set_state(home, number, "active", None)
    out.print(said("Resumed.", "Les envois reprennent."))


def remove(number: Number, home: Home = None) -> None:
    """Forget a subscriber, and what waits for it.

    Example: parcours subscription remove 1a2b3c4d
    """
    _, found = here(home)

    async def write() -> bool:
        async with connected(str(found["postgres"]), "subscription") as connection:
            return await tables.remove_subscription(connection, number)

    if not run(write()):
        raise _unknown(number)
    out.print(said("Removed.", "Supprimé."))


def rotate(
    number: Number, home: Home = None,
    *, finish: Annotated[bool, typer.Option("--finish", help="Stop signing with the old secret.")] = False,
) -> None:  # fmt: skip
    """Give a webhook a new secret; both sign until `--finish`.

    Example: parcours subscription rotate 1a2b3c4d
    """
    _, found = here(home)

    async def write() -> Subscription:
        async with connected(str(found["postgres"]), "subscription") as connection:
            one = next(
                (s for s in await tables.subscriptions(connection) if s.id == number and s.kind == "webhook"), None
            )
            if one is None:
                raise Problem(
                    said(
                        f"there is no webhook {number}: see parcours subscription list",
                        f"aucun webhook {number} : voir parcours subscription list",
                    )
                )
            kept = one.secrets[:1] if finish else (new_secret(), one.secrets[0])
            await tables.set_secrets(connection, number, kept)
            return replace(one, secrets=kept)

    one = run(write())
    out.print(
        said("The old secret signs no more.", "L'ancien secret ne signe plus.") if finish else one.secrets[0],
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def allow_host(host: Annotated[str, typer.Argument(metavar="HOST")], home: Home = None) -> None:
    """Let webhooks go to a host of your own network, or by plain http.

    Example: parcours subscription allow-host hooks.hospital.local
    """
    _show_allowed(_hosts(home, add_one=host.lower()))


def forbid_host(host: Annotated[str, typer.Argument(metavar="HOST")], home: Home = None) -> None:
    """Take that back.

    Example: parcours subscription forbid-host hooks.hospital.local
    """
    _show_allowed(_hosts(home, without=host.lower()))


def _show_allowed(hosts: list[str]) -> None:
    listed = ", ".join(hosts)
    out.print(said(f"allowed: {listed or 'none'}", f"autorisées : {listed or 'aucune'}"), markup=False)


def _hosts(home: Any, add_one: str | None = None, without: str | None = None) -> list[str]:
    _, found = here(home)

    async def write() -> list[str]:
        async with connected(str(found["postgres"]), "subscription") as connection:
            hosts = set(await tables.setting(connection, "allowed_hosts") or ())
            hosts = (hosts | ({add_one} if add_one else set())) - {without}
            await tables.set_setting(connection, "allowed_hosts", sorted(hosts))
            return sorted(hosts)

    return run(write())
