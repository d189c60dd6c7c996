"""What accepting and coordinating a saga need alike, whichever saga and whichever pattern.

`acceptance`  a saga's owner accepts it: freezes what it is about, and sets it going
`admission`   whether more come than can be done; `pausing`: whether an operator has paused it
`handover`    from its owner to an orchestrator, at once; `sweeping`: what the worker does later
`owner_views` a saga's owner accepts it over HTTP; `owner_doors`: what else it shows of its sagas
`owners`      what a coordinator asks a saga's owner
`views`       the HTTP doors of both coordinators; `admin`: a saga's page in the admin
`service`     what each app offers to its worker and to /health
`models`      the tables that each owner makes its own from; `store`: all SQL on them
"""
