"""The limits of incoming texts, numbers, money and lists, in one place.

HTTP doors, commands and messages are read by types that are made of these, so that every service
can take what another has accepted. What was accepted once must stay readable: if a limit of
acceptance is lowered, stored values still have to pass the limits of reading (MOST_LINES_READ).

Text. No NUL, which PostgreSQL can't store, and no half of a surrogate pair: both are looked for in
    the bytes of a body (httpapi.json, contracts.events), which costs 0.1 µs (as a pattern of each
    text it would be 0.5 µs per text: 8 µs for a frozen checkout).
Numbers. A whole number is a JSON number without a fraction: 5, not 5.0, 1e3, "5" or true.
Money. A number or a string, finite, with at most two decimals; Decimal in the code, numeric in
    the database, a string on the wire.
Ids of products, users and carts may come as numbers from shoppers and operators. Their ids are
    checked for allowed characters; between services only the length is checked (a pattern costs
    some µs per text), because a service made the id or has checked it.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar, get_origin

import msgspec
from msgspec import Meta, ValidationError

CENT = Decimal("0.01")
Read = TypeVar("Read", bound=msgspec.Struct)


def amount(value: Decimal | int | str) -> Decimal:
    """The value with exactly two decimals. Raises decimal.InvalidOperation if it is no number."""
    return Decimal(value).quantize(CENT, rounding=ROUND_HALF_EVEN)


MoneyText = Annotated[str, Meta(pattern=r"^-?[0-9]+\.[0-9]{2}$", examples=["1299.99"])]
"""Money as it is answered."""


Time = Annotated[datetime, Meta(tz=True)]
"""A time as all answers contain it: with its zone."""


def words(of: Iterable[str]) -> Meta:
    """The annotation of a text that is always one of these words."""
    return Meta(extra_json_schema={"enum": [str(word) for word in of]})


MOST_ID, MOST_NAME, MOST_CATEGORY, MOST_REASON, MOST_DESCRIPTION = 64, 200, 100, 1_000, 10_000
MOST_ADDRESS_FIELDS, MOST_ADDRESS_NAME, MOST_ADDRESS_TEXT = 12, 32, 200
MOST_KEY = 255
"""Characters of an Idempotency-Key."""

NOT_BLANK, NO_NUL = r"\S", r"\A[^\x00]*\Z"
OF_AN_ID, OF_A_FIELD = r"\A[\w.:@+-]+\Z", r"\A[A-Za-z][A-Za-z0-9_]*\Z"
IDS_CHARACTERS = "letters, digits and - _ . : @ +"
_IN_WORDS = {
    f" matching regex {OF_AN_ID!r}": f" of {IDS_CHARACTERS}",
    f" matching regex {OF_A_FIELD!r}": " of letters, digits and _ that begins with a letter",
    f" matching regex {NOT_BLANK!r}": " that is not blank",
    f" matching regex {NO_NUL!r}": " without NUL characters",
}

Id = Annotated[str, Meta(min_length=1, max_length=MOST_ID, pattern=OF_AN_ID)]
IdRead = Annotated[str, Meta(min_length=1, max_length=MOST_ID)]
"""An id that was accepted before: in a command, an event, a stored saga."""
UserId = Annotated[str, Meta(max_length=MOST_ID)]
"""The user to whom something belongs, opaque; empty: no user in particular."""
CauseId = Annotated[str, Meta(max_length=MOST_ID)]
Name = Annotated[str, Meta(max_length=MOST_NAME, pattern=NOT_BLANK)]
Sku = Annotated[str, Meta(max_length=MOST_ID, pattern=NOT_BLANK)]
"""An order may name a product by its SKU, if the SKU has an id's characters."""
Category = Annotated[str, Meta(max_length=MOST_CATEGORY)]
Description = Annotated[str, Meta(max_length=MOST_DESCRIPTION)]
Reason = Annotated[str, Meta(max_length=MOST_REASON)]
SagaPattern = Annotated[str, Meta(min_length=1, max_length=32)]
Asked = Annotated[str, Meta(min_length=1, max_length=MOST_NAME, pattern=NO_NUL)]
"""A text of a query, which the checks of JSON bodies do not see."""
Traceparent = Annotated[str, Meta(max_length=64)]
AddressField = Annotated[str, Meta(max_length=MOST_ADDRESS_NAME, pattern=OF_A_FIELD)]
AddressText = Annotated[str, Meta(max_length=MOST_ADDRESS_TEXT)]
Address = Annotated[dict[AddressField, AddressText], Meta(max_length=MOST_ADDRESS_FIELDS)]
"""The billing address, as a shopper sends it: with any fields that their country has."""

MOST_BYTES, MOST_BYTES_OF_MANY, MOST_BYTES_OF_ONE = 8 * 1024 * 1024, 1024 * 1024, 64 * 1024
"""Of a body: a list between services (1,000 commands, or the checkouts of a hand-over), a list from
people (new products), and any other body: one request of a shopper, or one step. A door that takes
lists declares it."""
MOST_BYTES_OF_A_MESSAGE = 1024 * 1024
"""Nothing larger is sent; of a larger message no more than this is read."""
MOST_DEPTH, MOST_DEPTH_OF_A_MESSAGE = 32, 64
"""Levels of nested lists and objects, in a body and in a message that contains it. Values of any
shape are compared, stored and written again, which past some 300 levels raises RecursionError."""
EARLIEST_YEAR, LATEST_YEAR = 2000, 2999
"""Of times: PostgreSQL can store times that Python can't read back, and the first and the last
times of the calendar overflow in another zone."""

MOST_QUANTITY = 1_000_000
"""Of one product in a cart, a reservation or an order, summed over its lines."""
MOST_STOCK = 1_000_000_000
"""Units in one delivery."""
MOST_STOCK_EVER = 1_000_000_000_000
"""Of one product, summed over all deliveries."""
MOST_INTEGER = 2**63 - 1
Quantity = Annotated[int, Meta(ge=1, le=MOST_QUANTITY)]
Stock = Annotated[int, Meta(ge=0, le=MOST_STOCK)]
StockChange = Annotated[int, Meta(ge=-MOST_STOCK, le=MOST_STOCK)]
WholeNumber = Annotated[int, Meta(ge=-MOST_INTEGER - 1, le=MOST_INTEGER)]

MOST_LINES = 200
"""Of a cart: different products."""
MOST_LINES_READ = 1_000
"""Of an incoming list of items or lines; several may name the same product."""
MOST_IN_A_BATCH = 1_000

MOST_PRICE = Decimal("9999999999.99")
MOST_MONEY = Decimal("999999999999.99")
"""What the tables hold: of a price, and of a total or a payment."""


def is_money(value: Decimal, *, most: Decimal, least: Decimal = Decimal(0)) -> bool:
    """Whether the tables can hold this amount exactly: finite, whole cents, within the limits."""
    try:
        return least <= value <= most and value == value.quantize(CENT)
    except InvalidOperation:  # no number at all
        return False


def require_money(
    field: str, value: Decimal, *, most: Decimal, least: Decimal = Decimal(0)
) -> None:
    """For the `__post_init__` of a type. Raises ValueError; msgspec makes it a ValidationError."""
    if not is_money(value, most=most, least=least):
        raise ValueError(f"{field}: from {least} to {most}, with at most two decimals")


def number_in(text: str) -> int | None:
    """The number of a row in a text; None if there is none. 18 digits fit any bigint."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def is_id(text: str) -> bool:
    """Whether the text may be an id that people send."""
    return len(text) <= MOST_ID and re.search(OF_AN_ID, text) is not None


def is_deeper(body: bytes, *, than: int) -> bool:
    """Whether JSON has more nested lists and objects, or unbalanced brackets. Takes some 10 µs for
    15 kB, whatever the body.
    """
    # Most bodies have fewer brackets than they may be deep.
    if body.count(b"{") + body.count(b"[") <= than:
        return False
    if b"\\" in body:
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # Two adjacent quotes are now a text without brackets, or the end of one text and the beginning
    # of the next. Without them the other brackets stay inside or outside of a text.
    kept = body.translate(None, _ALL_BUT_BRACKETS_AND_QUOTES).replace(b'""', b"")
    brackets = b"".join(kept.split(b'"')[::2])
    for _ in range(than):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return False
    return True


_ALL_BUT_BRACKETS_AND_QUOTES = bytes(set(range(256)) - set(b'[]{}"'))


def of_query(query: Any, kind: type[Read], *, but_empty: bool = False) -> Read:
    """The parameters of a query (of Django's), whose numbers are texts. `but_empty`: ignores empty
    parameters, as a form sends them. A parameter may be there once, unless its field is a list.
    Raises msgspec.ValidationError.
    """
    asked: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        values = [value for value in query.getlist(name) if value or not but_empty]
        if get_origin(field.type) is list:
            asked[name] = values
        elif len(values) > 1:
            raise ValidationError(f"{name}: once, not {len(values)} times")
        elif values:
            asked[name] = values[0]
    return msgspec.convert(asked, kind, strict=False)


def field_and_message(error: ValidationError) -> tuple[str, str]:
    """The wrong field (`items[0].quantity`; empty: the whole), and what it must be."""
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
"""The errors of `require_money`, for which msgspec knows only the path of the whole struct."""
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(?P<field>.+)`")


def wrong_fields(value: object, kind: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """Each wrong field of an object, not only the first; empty if no single field is wrong."""
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
