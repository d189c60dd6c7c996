"""The operations of trips in a saga: accept it, complete it, or end it without success."""

from collections.abc import Sequence

import msgspec
from django.db.models.functions import Now

from contracts.bounds import Id, Name
from contracts.outcomes import Done, Failure, Outcome
from contracts.refusals import STOPPED
from contracts.saga import Command, Undo
from coordination import acceptance
from coordination.acceptance import Accepted, Owner, context_of
from coordination.store import status_after
from participant.operations import does, undoes
from trips.models import Trip


class Accept(acceptance.Accept, frozen=True, kw_only=True):
    """Take this traveller to this city."""

    traveller: Id
    city: Name


@does(service="trips", command=Accept)
def accept(commands: Sequence[Accept]) -> list[Outcome]:
    """Records the trips, with the data that their steps need."""
    users = {command.saga_id: command.traveller for command in commands}
    among = acceptance.sort_out(owner=OWNER, commands=commands, users=users)
    contexts = {
        command.saga_id: context_of(
            command=command,
            subject=command.saga_id,
            user_id=command.traveller,
            known={"traveller": command.traveller, "city": command.city},
        )
        for command in among.fresh
    }
    Trip.objects.bulk_create(
        Trip(
            saga_id=context.saga_id,
            saga=context.saga,
            saga_pattern=context.pattern,
            user_id=context.user_id,
            context=msgspec.to_builtins(context),
        )
        for context in contexts.values()
    )
    return acceptance.answered(
        owner=OWNER,
        commands=commands,
        among=among,
        decided={key: Accepted(context=context) for key, context in contexts.items()},
    )


@undoes(accept)
def fail(commands: Sequence[Undo]) -> list[Outcome]:
    """Ends the trip without success, and stores the reason."""
    for command in commands:
        failure = command.failure or Failure("", STOPPED)
        Trip.objects.filter(pk=command.saga_id).update(
            status=status_after(failure),
            failure_step=failure.step,
            failure_code=failure.code,
            failure_detail=failure.detail,
            ended_at=Now(),
        )
    return [Done() for _ in commands]


OWNER = Owner(model=Trip, accept=accept, fail=fail)


@does(service="trips")
def confirm(commands: Sequence[Command]) -> list[Outcome]:
    """The last step: the trip has ended well."""
    trips = Trip.objects.filter(pk__in=[command.saga_id for command in commands])
    trips.update(status="completed", ended_at=Now())
    return [Done() for _ in commands]
