"""What users send, checked."""

from typing import Annotated

import msgspec

from contracts.statuses import SagaStatus

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=150)]
Page = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks something of a saga, and why."""

    requested_by: Name = "api"
    reason: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for it, and why: to be read by whoever wonders later."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    requested_by: Name = "api"


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Which sagas to list: `?status=&page=&page_size=`, or `&after=`, `&before=` a cursor."""

    status: SagaStatus | None = None
    page: Page = 1
    page_size: PageSize = 50
    after: str = ""
    before: str = ""
