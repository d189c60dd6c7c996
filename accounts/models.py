"""The refresh tokens of people: each can be used once."""

from django.db import models
from django.db.models.functions import Now


class RefreshToken(models.Model):
    """A token that can be exchanged once (`used_at`), until `expires_at`, for an access token and a
    new refresh token. If it comes a second time, it was stolen by the first or the second sender:
    all tokens of its `login` are revoked.

    `digest`: of the token, which itself is stored nowhere. `person`: the user's key.
    """

    digest = models.CharField(max_length=64, primary_key=True, db_collation="C")
    login = models.CharField(max_length=32, db_index=True, db_collation="C")
    person = models.BigIntegerField()
    issued_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"of login {self.login}"
