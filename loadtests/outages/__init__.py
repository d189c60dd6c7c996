"""A participant is away for a while, under load: `manage.py outage`, and the end of a full run.

`experiment`  takes it away and brings it back, one pattern after the other
`backlog`     what that did to the checkouts, from their samples (pure)
"""
