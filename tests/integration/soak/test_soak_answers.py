"""How the soak reads sagas from their owners' tables."""

import pytest
from django.db import connections

from catalogue import SAGAS
from catalogue.services import WITH_DATABASE
from checker.soak.watching import breaches, read_accepted
from tests.integration.audit.conftest import Shop

pytestmark = pytest.mark.django_db(databases=WITH_DATABASE)
ENDED = {"sold": "completed", "undone": "compensated"}


def read(service, statement):
    with connections[service].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@pytest.mark.parametrize("saga", SAGAS)
def test_sagas_are_read_with_the_keys_under_which_they_were_asked_for(saga):
    shop = Shop()
    shop.completed("sold", saga=saga)
    shop.compensated("undone", saga=saga)
    accepted = read_accepted(read=read, saga=SAGAS[saga])
    assert {saga.saga_id: saga.status for saga in accepted} == ENDED
    assert all(saga.ended_at >= saga.accepted_at for saga in accepted)
    answers = {f"key of {saga_id}": [saga_id] for saga_id in ENDED}
    assert list(breaches(accepted=accepted, answers=answers)) == []


def test_sagas_of_the_same_owner_are_kept_apart():
    shop = Shop()
    shop.completed("sold", saga="checkout")
    shop.completed("delivered", saga="fulfilment")
    (saga,) = read_accepted(read=read, saga=SAGAS["fulfilment"])
    assert saga.saga_id == "delivered"
