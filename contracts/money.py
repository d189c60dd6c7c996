"""Amounts of money: Decimal in the code, numeric in the database, a string on the wire."""

from decimal import ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")


def amount(value: Decimal | int | str) -> Decimal:
    """The value with exactly two decimals. Raises decimal.InvalidOperation if it is no number."""
    return Decimal(value).quantize(CENT, rounding=ROUND_HALF_EVEN)
