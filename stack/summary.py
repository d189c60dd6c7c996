"""What `manage.py up` tells when everything is ready."""

from typing import Any

_TRY = """\
Try it:
  CART=$(curl -s -X POST {carrito}/carts -H 'Content-Type: application/json' \\
    -d '{{"user_id": "ana"}}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
  curl -s -X POST {carrito}/carts/$CART/items -H 'Content-Type: application/json' \\
    -d '{{"product_id": "1", "quantity": 1}}'
  curl -s -X POST {carrito}/checkout/saga -H 'Content-Type: application/json' \\
    -H 'Prefer: wait=5' -d '{{"cart_id": "'$CART'", "user_id": "ana",
      "payment_method": "credit_card", "saga_pattern": "choreographed", "billing_address":
      {{"street": "Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"}}}}'
"""


def of_run(record: dict[str, Any], *, detached: bool) -> str:
    """Addresses, the admin's login, a few calls to try."""
    urls = record["urls"]
    widest = max(len(name) for name in urls)
    lines = [
        "",
        f"Dueto is up: {record['database']}, {record['broker']}.",
        *(f"  {name.ljust(widest)}  {url}" for name, url in urls.items()),
        f"  {'logs'.ljust(widest)}  {record['logs']}",
        *_login(record),
        "",
        "",
    ]
    end = "Stop it with `python manage.py down`." if detached else "Stop it with Ctrl-C."
    tries = _TRY.format(carrito=urls["carrito"]) if "carrito" in urls else ""
    return "\n".join(lines) + tries + end


def _login(record: dict[str, Any]) -> list[str]:
    admin, url = record["admin"], record["urls"].get("dashboard")
    if not admin or not url:
        return []
    login = f"{admin['user']}, password {admin['password']} (until the next start)"
    return ["", f"Admin: {url}/admin/ as {login}"]
