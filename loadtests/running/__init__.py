"""Windows of load, one after the other, on a stack of one's own: measured, kept and audited.

`rig`        a stack, and all that loads and measures it
`runner`     one window at a time: supply, send, drain, rest, collect; `sending`: its checkouts
`kept`       the windows that have ended, in a folder
`remaining`  how much time is left
`auditing`   the audit of a stack, at the end
"""
