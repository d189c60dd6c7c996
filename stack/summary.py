"""What `manage.py up` tells when everything is ready."""

from typing import Any

_TRY_CHECKOUT = """\
A checkout, to try it:
  CART=$(curl -s -X POST {carrito}/carts -H 'Content-Type: application/json' \\
    -d '{{"user_id": "ana"}}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
  curl -s -X POST {carrito}/carts/$CART/items -H 'Content-Type: application/json' \\
    -d '{{"product_id": "1", "quantity": 1}}'
  curl -s -X POST {carrito}/checkout/saga -H 'Content-Type: application/json' \\
    -H 'Prefer: wait=5' -d '{{"cart_id": "'$CART'", "user_id": "ana",
      "payment_method": "credit_card", "saga_pattern": "choreographed", "billing_address":
      {{"street": "Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"}}}}'
"""


_TRY_ORDER = """\
An order that is delivered:
  curl -s -X POST {pedidos}/orders -H 'Content-Type: application/json' -H 'Prefer: wait=5' \\
    -d '{{"user_id": "ana", "product_id": "product_1", "quantity": 1, "amount": 199.99}}'
"""
_TRIES = {"carrito": _TRY_CHECKOUT, "pedidos": _TRY_ORDER}
"""By the owner that it is asked of."""


def of_run(record: dict[str, Any], *, detached: bool) -> str:
    """Addresses, the admin's login, a few calls to try."""
    urls = record["urls"]
    widest = max(len(name) for name in urls)
    lines = [
        "",
        f"Dueto is up: {record['database']}, {record['broker']}.",
        *(f"  {name.ljust(widest)}  {url}{_also(record, name)}" for name, url in urls.items()),
        f"  {'logs'.ljust(widest)}  {record['logs']}",
        *_login(record),
        "",
        "",
    ]
    end = "Stop it with `python manage.py down`." if detached else "Stop it with Ctrl-C."
    tries = [text.format(**urls) for owner, text in _TRIES.items() if owner in urls]
    return "\n".join(lines) + "".join(tries) + end


def _also(record: dict[str, Any], name: str) -> str:
    port = record["also"].get(name)
    return f"  (and on {port})" if port else ""


def _login(record: dict[str, Any]) -> list[str]:
    admin, url = record["admin"], record["urls"].get("dashboard")
    if not admin or not url:
        return []
    login = f"{admin['user']}, password {admin['password']} (until the next start)"
    return ["", f"Admin: {url}/admin/ as {login}"]
