"""The one document that holds every parameter of DOMAIN, and the jurisdictions in force."""

from datetime import tzinfo
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, model_validator

from projections.jurisdictions import Document, Jurisdiction, shipped

Count = Annotated[int, Field(ge=1, le=10_000)]
Days = Annotated[int, Field(ge=0, le=1_000)]


class InvalidPolicy(ValueError):
    """A policy somebody wrote, and what is wrong with it, a line each."""


class Policy(BaseModel):
    """DOMAIN, policy parameters: `id`, `version`, and what differs from the defaults.

    `jurisdictions` adds jurisdictions in the shape of their TOML; one that is shipped is replaced, with every version of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = "default"
    version: str = "1"
    jurisdiction: str = "default"
    intake: frozenset[str] = frozenset()
    b1_hops: Count = 2
    b2_returns: Count = 1
    b2_hops: Count = 3
    b2_sterile: Count = 2
    b2_carried: Count = 2
    b3_alternation: Count = 4
    b3_returns: Count = 2
    b4_returns: Count = 3
    b4_hops: Count = 6
    b4_working_days: Days = 5
    reopen_days: Days = 30
    patient_departments: Count = 3
    patient_redirects: Count = 2
    patient_days: Days = 30
    update_working_days: Days = 10
    next_working_days: Days = 2
    visit_working_days: Days = 2
    hold_working_days: Days = 10
    holds: Days = 2
    pause_working_days: Days = 10
    pauses: Days = 2
    contribution_working_days: Days = 10
    jurisdictions: tuple[Document, ...] = ()

    @model_validator(mode="after")
    def its_jurisdiction_is_known(self) -> "Policy":
        if self.jurisdiction not in self.known:
            msg = f"jurisdiction {self.jurisdiction!r} is not known; there are {', '.join(sorted(self.known))}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def no_law_is_forgotten(self) -> "Policy":
        """A claim is judged by the law in force at its `t0`: what replaces a shipped jurisdiction says all its versions."""
        ours = shipped()
        for document in self.jurisdictions:
            first = document.jurisdiction().versions[0].effective_from
            if document.id in ours and first > (since := ours[document.id].versions[0].effective_from):
                msg = (
                    f"jurisdiction {document.id!r} begins on {first}, the one that is shipped on {since}: claims from before would be "
                    "judged by a law that was not in force then; write its earlier versions too"
                )
                raise ValueError(msg)
        return self

    @field_serializer("intake")
    def in_order(self, intake: frozenset[str]) -> list[str]:
        """Sets have no order; what is compared and kept must."""
        return sorted(intake)

    @cached_property
    def known(self) -> dict[str, Jurisdiction]:
        """Every jurisdiction in force under this policy, by id."""
        return shipped() | {document.id: document.jurisdiction() for document in self.jurisdictions}

    @cached_property
    def zones(self) -> dict[str, tzinfo]:
        """Where the days of each jurisdiction begin and end."""
        return {name: law.calendar.tz for name, law in self.known.items()}

    @property
    def home(self) -> Jurisdiction:
        """The jurisdiction of whoever names none."""
        return self.known[self.jurisdiction]


def policy(document: dict[str, Any]) -> Policy:
    """The policy a document states. Raises `InvalidPolicy` with a line for each thing wrong."""
    try:
        return Policy.model_validate(document)
    except ValidationError as wrong:
        lines = [f"{'.'.join(map(str, e['loc'])) or '(document)'}: {e['msg']}" for e in wrong.errors()]
        raise InvalidPolicy("\n".join(lines)) from None
