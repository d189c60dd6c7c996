"""Windows of load, one after the other, on a stack of their own: measured, stored and audited.

`bench`   the stack, its load and meters, and the audit at the end
`runner`  one window at a time: supply, send, drain, rest, collect
`store`   a run in its folder
"""
