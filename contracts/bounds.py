"""What may come in: the one place for the limits of texts, numbers, money and lists.

HTTP doors, commands and messages are read by types that are made of these, so that what one
service accepts the next one can take. What was accepted once must stay readable: where a limit of
acceptance is lowered, what is stored already still has to pass those of reading (MOST_LINES_READ).

Text. No NUL, which PostgreSQL can't store: looked for in the bytes of a body, where it costs 0.1 µs
    (as a pattern of each text it would be 0.5 µs a text: 8 µs a frozen checkout). A lone surrogate
    is no JSON, and msgspec refuses it.
Numbers. A whole number is a JSON number without a fraction: 5, not 5.0, 1e3, "5" or true.
Money. A number or a string, finite, with at most two decimals.
Ids of products, users and carts may come as numbers, where a shopper or an operator sends them.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec
from msgspec import Meta, ValidationError

from contracts.money import CENT

MOST_ID, MOST_NAME, MOST_CATEGORY, MOST_REASON, MOST_DESCRIPTION = 64, 200, 100, 1_000, 10_000
MOST_ADDRESS_FIELDS, MOST_ADDRESS_TEXT = 20, 200
MOST_KEY = 255
"""Characters of an Idempotency-Key."""

NOT_BLANK, NO_NUL = r"\S", r"\A[^\x00]*\Z"
_IN_WORDS = {
    f" matching regex {NOT_BLANK!r}": " that is not blank",
    f" matching regex {NO_NUL!r}": " without NUL characters",
}

Id = Annotated[str, Meta(min_length=1, max_length=MOST_ID)]
CauseId = Annotated[str, Meta(max_length=MOST_ID)]
Name = Annotated[str, Meta(max_length=MOST_NAME, pattern=NOT_BLANK)]
Sku = Annotated[str, Meta(max_length=MOST_ID, pattern=NOT_BLANK)]
Category = Annotated[str, Meta(max_length=MOST_CATEGORY)]
Description = Annotated[str, Meta(max_length=MOST_DESCRIPTION)]
Reason = Annotated[str, Meta(max_length=MOST_REASON)]
SagaPattern = Annotated[str, Meta(min_length=1, max_length=32)]
Asked = Annotated[str, Meta(min_length=1, max_length=MOST_NAME, pattern=NO_NUL)]
"""Of a query, whose texts come through no JSON."""
Traceparent = Annotated[str, Meta(max_length=64)]
AddressField = Annotated[str, Meta(max_length=MOST_ID)]
AddressText = Annotated[str, Meta(max_length=MOST_ADDRESS_TEXT)]
Address = Annotated[dict[AddressField, AddressText], Meta(max_length=MOST_ADDRESS_FIELDS)]
"""Of a bill, as a shopper sends it: whatever fields their country has."""

MOST_QUANTITY = 1_000_000
"""Of one product in a cart, a reservation or an order, summed over all that name it."""
MOST_STOCK = 1_000_000_000
"""That come in at once."""
MOST_STOCK_EVER = 1_000_000_000_000
"""Of one product, summed over all that ever came in."""
MOST_INTEGER = 2**63 - 1
Quantity = Annotated[int, Meta(ge=1, le=MOST_QUANTITY)]
Stock = Annotated[int, Meta(ge=0, le=MOST_STOCK)]
StockChange = Annotated[int, Meta(ge=-MOST_STOCK, le=MOST_STOCK)]
WholeNumber = Annotated[int, Meta(ge=-MOST_INTEGER - 1, le=MOST_INTEGER)]

MOST_LINES = 200
"""Of a cart: different products."""
MOST_LINES_READ = 1_000
"""Of a list of items or lines that comes in; the same product may be named by several."""
MOST_IN_A_BATCH = 1_000

MOST_PRICE = Decimal("9999999999.99")
MOST_MONEY = Decimal("999999999999.99")
"""What the tables hold: of a price, and of a total or a payment."""


def is_money(value: Decimal, *, most: Decimal, least: Decimal = Decimal(0)) -> bool:
    """Whether the tables can hold this amount as it is: finite, whole cents, within the limits."""
    try:
        return least <= value <= most and value == value.quantize(CENT)
    except InvalidOperation:  # no number at all
        return False


def require_money(
    field: str, value: Decimal, *, most: Decimal, least: Decimal = Decimal(0)
) -> None:
    """For the `__post_init__` of a type. Raises ValueError, which msgspec tells as its own."""
    if not is_money(value, most=most, least=least):
        raise ValueError(f"{field}: from {least} to {most}, with at most two decimals")


def require_no_nul(body: bytes) -> None:
    """Raises ValidationError, naming the field, for JSON with a NUL in any text of it."""
    if b"\\u0000" not in body:
        return
    try:
        path = _path_of_nul(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # no JSON that can be read: whoever reads it into a type says so
    if path is not None:
        raise ValidationError(f"Expected a text without NUL characters - at `${path}`")


def _path_of_nul(value: object) -> str | None:
    """`.items[0].name`; None where the escape was an escaped one: a backslash, and u0000."""
    if isinstance(value, str):
        return "" if "\0" in value else None
    if isinstance(value, list):
        inner = ((f"[{place}]", one) for place, one in enumerate(value))
    elif isinstance(value, dict):
        inner = ((f".{key}".replace("\0", "\\u0000"), one) for key, one in value.items())
        if any("\0" in key for key in value):
            return ""
    else:
        return None
    found = ((step, _path_of_nul(one)) for step, one in inner)
    return next((step + path for step, path in found if path is not None), None)


def field_and_message(error: ValidationError) -> tuple[str, str]:
    """Which field is wrong (`items[0].quantity`; empty: the whole), and what it must be."""
    at = _AT.fullmatch(str(error))
    message, path = (at["message"], at["path"].lstrip(".")) if at else (str(error), "")
    for pattern, words in _IN_WORDS.items():
        message = message.replace(pattern, words)
    own = _OWN.fullmatch(message) or _FIELD.fullmatch(message)
    if own:
        path = f"{path}.{own['field']}".lstrip(".")
    return path, own["message"] if own and own.re is _OWN else message


_AT = re.compile(r"(?P<message>.*) - at (?:`key` in )?`\$(?P<path>.*)`", re.DOTALL)
_OWN = re.compile(r"(?P<field>\w+): (?P<message>.*)", re.DOTALL)
"""As `require_money` says it: msgspec knows only the path of the whole struct then."""
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(?P<field>.+)`")


def wrong_fields(value: object, kind: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """Each wrong field of an object, not only the first; empty where it is no field's fault."""
    if not isinstance(value, dict):
        return []
    found = []
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        try:
            if name in value:
                msgspec.convert(value[name], field.type)
            elif field.required:
                found.append((name, "required"))
        except ValidationError as error:
            inner, message = field_and_message(error)
            found.append((name + (f".{inner}" if inner[:1].isalpha() else inner), message))
    return found
