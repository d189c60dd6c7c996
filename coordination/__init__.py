"""Accepting and coordinating sagas: the code that all owners, coordinators and patterns share.

`acceptance`  an owner accepts a saga: freezes its data, and starts it
`admission`   refuses sagas under overload; `pausing`: refuses sagas that an operator has paused
`handover`    from the owner to an orchestrator, at once; `sweeping`: later, by the owner's worker
`owner_views` an owner accepts sagas over HTTP; `owner_doors`: its other doors for its sagas
`owners`      a coordinator's calls to the owners of sagas
`coordinator` a coordinator as its doors use it, and its doors for services; `views`: its doors for
              people and owners; `admin`: sagas in the admin
`service`     what each app offers to its worker and to /health
`models`      the abstract tables of owners; `store`: all SQL on them
"""
