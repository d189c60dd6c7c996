"""Windows of load, one after the other, on a stack of one's own: measured, kept and audited.

`bench`   a stack, all that loads and measures it, and its audit at the end
`runner`  one window at a time: supply, send, drain, rest, collect
`store`   a run in its folder
"""
