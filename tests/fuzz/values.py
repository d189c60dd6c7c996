"""Random values, and valid values that are damaged in one place or more."""

import json
from random import Random
from typing import Any

TEXTS = [
    *("", " ", "a", "0", "-1", "1", "true", "null", "NaN", "Infinity", "1e999", "1e3", "5.0"),
    *("12.50", "0.00", "-0.01", "0.001", "999999999999.99", "1000000000000", "1_000", "\u0663"),
    *("a\u0000b", "\u0000", "\u202e", "\ufeff", "\U0001f600", "\ud83d", "é" * 64, "x" * 65),
    *("x" * 256, "x" * 5_000, "'; DROP TABLE x; --", "%s", "%00", "../..", "{}", "[]", "\\u0000"),
    *("2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "infinity"),
    *("orchestrated", "choreographed", "orchestrated_messaging", "monolith", "credit_card"),
    *("card_declined", "invalid_card", "slow_card", "paypal"),
]
NUMBERS: list[Any] = [
    *(0, 1, -1, 2, 5, 200, 1_000, 999_999, 1_000_000, 1_000_001, 2**31 - 1, 2**31, 2**53),
    *(2**63 - 1, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1.0, 1e3, 1.999, 1e-320, 1e308),
]
RAW = [
    *("NaN", "Infinity", "1e400", "-1e400", "1" * 5_000, "1." + "1" * 400, '"\\ud800"', "{]", ""),
    *('"\\u0000"', "[" * 2_000, "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "01", "+1"),
    *('{"a": 1, "a": 2}', "\ufeff{}", '"\x01"', "tru", "{'a': 1}"),
]
"""Texts that no encoder would make, to replace a value."""


MOST_REPEATED = 1_100


class Raw(str):
    """JSON (or invalid text) to be inserted unchanged."""


def scalar(random: Random, known: list[Any]) -> Any:
    """Any scalar; half of them are known values."""
    pick = random.random()
    if pick < 0.4 and known:
        return random.choice(known)
    if pick < 0.7:
        return random.choice(TEXTS)
    if pick < 0.9:
        return random.choice(NUMBERS)
    return random.choice([None, True, False, [], {}, Raw(random.choice(RAW))])


def value(random: Random, known: list[Any], names: list[str], depth: int = 3) -> Any:
    """Any value of any shape."""
    pick = random.random()
    if depth == 0 or pick < 0.5:
        return scalar(random, known)
    parts = range(random.choice([0, 1, 2, 3, 5]))
    if pick < 0.7:
        return [value(random, known, names, depth - 1) for _ in parts]
    return {random.choice(names): value(random, known, names, depth - 1) for _ in parts}


def spoilt(random: Random, valid: Any, known: list[Any], names: list[str]) -> Any:
    """A copy that differs from the valid value in one place, or in a few."""
    changed = json.loads(json.dumps(valid))
    for _ in range(random.choice([0, 0, 0, 1, 1, 1, 2, 3])):
        changed = _spoil(random, changed, known, names)
    return changed


def encoded(random: Random, thing: Any) -> bytes:
    """The value as JSON; a few times with wrong bytes."""
    raws: dict[str, str] = {}

    def hold(part: Any) -> Any:
        if isinstance(part, Raw):
            mark = f"raw-{len(raws)}-mark"
            raws[mark] = str(part)
            return mark
        if isinstance(part, dict):
            return {str(key): hold(inner) for key, inner in part.items()}
        return [hold(inner) for inner in part] if isinstance(part, list) else part

    text = json.dumps(hold(thing), ensure_ascii=random.random() < 0.5)
    for mark, raw in raws.items():
        text = text.replace(f'"{mark}"', raw)
    body = text.encode("utf-8", "surrogatepass")
    return _damaged(random, body) if random.random() < 0.05 else body


def _spoil(random: Random, thing: Any, known: list[Any], names: list[str]) -> Any:
    """One change, at the top or somewhere below."""
    if isinstance(thing, dict) and thing and random.random() < 0.85:
        key = random.choice(list(thing))
        pick = random.random()
        if pick < 0.15:
            del thing[key]
        elif pick < 0.25:
            thing[random.choice([*names, *TEXTS])] = value(random, known, names)
        else:
            thing[key] = _spoil(random, thing[key], known, names)
        return thing
    if isinstance(thing, list) and thing and random.random() < 0.85:
        place = random.randrange(len(thing))
        pick = random.random()
        if pick < 0.2:
            thing *= random.choice([2, 3, 150, 250])
            del thing[MOST_REPEATED:]
        else:
            thing[place] = _spoil(random, thing[place], known, names)
        return thing
    pick = random.random()
    if pick < 0.7:
        return scalar(random, known)
    return [thing] if pick < 0.8 else value(random, known, names)


def _damaged(random: Random, body: bytes) -> bytes:
    place = random.randrange(len(body) + 1)
    return random.choice(
        [
            body[:place],
            body[:place] + random.randbytes(random.choice([1, 4])) + body[place:],
            body[:place] + b"\xf1" + body[place + 1 :],
            body + body,
            random.randbytes(random.choice([1, 20, 200])),
        ]
    )
