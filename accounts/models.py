"""The refresh tokens of people: each is good once."""

from django.db import models
from django.db.models.functions import Now


class RefreshToken(models.Model):
    """What a new access token is given for, until `expires_at`: once (`used_at`), and with a new
    one in its place. One that comes a second time was stolen, from who sent it first or now: all of
    its `login` are good no more.

    `digest`: of the token, which is kept nowhere. `person`: the user's key.
    """

    digest = models.CharField(max_length=64, primary_key=True, db_collation="C")
    login = models.CharField(max_length=32, db_index=True, db_collation="C")
    person = models.BigIntegerField()
    issued_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"of login {self.login}"
