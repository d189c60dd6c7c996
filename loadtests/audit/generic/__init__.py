"""What must hold in any saga, known by its page, the barriers, and its owner's and its
coordinator's rows alone. Nothing here knows what a step is for.

`evidence`  what all services know of each saga, side by side
`endings`   how it ended, and that all tell the same
`causes`    what followed from what
`rest`      what must be empty once nothing runs, keys and events; waiting until nothing runs
"""
