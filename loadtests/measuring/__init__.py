"""Measurements of a window: from the shop's own rows, its processes and the machine.

`outcomes`  the outcomes of sagas, and whether the shop is idle
`samples`   what is stored, as data and as CSV: one sample per saga, and the moments of steps
`timeline`  when each step was asked for, picked up and decided
`cost`      CPU by process, writes, WAL, messages, calls
`machine`   the environment of a result; checkpoints of the database
"""
