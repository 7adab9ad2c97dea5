"""The house's own login: code flow with PKCE against a real provider, roles from a claim, nobody in without one."""

import warnings
from collections.abc import Iterator

import httpx2
import pytest

from services.console.login import visitor
from tests.line import Line
from tests.served import served

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the provider uses what its own library calls old
    from oidc_provider_mock import User, run_server_in_thread


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A provider that knows two people; one has a role of ours."""
    people = [
        User(sub="lambert", claims={"preferred_username": "mme.lambert", "parcours_role": ["nurse", "operator"], "parcours_tenant": "default"}),
        User(sub="nobody", claims={"preferred_username": "nobody"}),
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with run_server_in_thread(user_claims=people) as server:
            url = f"http://localhost:{server.server_port}"
            monkeypatch.setenv("PARCOURS_OIDC_ISSUER", url)
            monkeypatch.setenv("PARCOURS_OIDC_CLIENT_ID", "parcours")
            monkeypatch.setenv("PARCOURS_OIDC_CLIENT_SECRET", "secret")
            yield url


async def _enter(client: httpx2.AsyncClient, person: str) -> httpx2.Response:
    away = await client.get("/login/house")
    assert "code_challenge" in away.headers["location"]
    back = await client.post(away.headers["location"], data={"sub": person})
    return await client.get(back.headers["location"])


@pytest.mark.filterwarnings("ignore")
async def test_a_person_with_a_role_comes_in_and_one_without_does_not(line: Line, provider: str) -> None:
    async with served(line) as api:
        async with httpx2.AsyncClient(base_url=api.url, trust_env=False) as client:
            answer = await _enter(client, "lambert")
            assert answer.status_code == 303
            page = await client.get("/fr")
            assert page.status_code == 200
            assert "Se déconnecter" in page.text
        async with httpx2.AsyncClient(base_url=api.url, trust_env=False) as client:
            answer = await _enter(client, "nobody")
            assert answer.status_code == 403
            assert (await client.get("/fr")).status_code == 303


@pytest.mark.parametrize(
    ("claims", "seen"),
    [
        ({}, ("default", None)),
        ({"parcours_tenant": "north", "parcours_departments": ["A", "B"]}, ("north", ("A", "B"))),
        ({"parcours_departments": "A"}, ("default", ("A",))),
        ({"parcours_departments": []}, None),
        ({"parcours_departments": ""}, None),
        ({"parcours_departments": {"A": True}}, None),
        ({"parcours_departments": ["A", 3]}, None),
        ({"parcours_tenant": ["north"]}, None),
        ({"parcours_tenant": None}, None),
        ({"parcours_role": "nurse"}, None),
    ],
)
def test_a_claim_that_is_not_understood_never_shows_more(
    claims: dict[str, object], seen: tuple[object, ...] | None
) -> None:
    found = visitor({"sub": "x", "parcours_role": "reader"} | claims, "parcours_role")
    assert (found and (found.tenant, found.departments)) == seen
