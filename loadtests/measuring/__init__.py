"""What is read of a window, from the shop's own rows, its processes and the machine.

`outcomes`  how its sagas ended, and whether all is at rest
`samples`   what is kept of it, as data and as CSV: one a saga, and the moments of steps
`timeline`  when each step was asked for, picked up and decided
`cost`      CPU by process, writes, WAL, messages, calls
`machine`   what it was all made on; checkpoints of the database
"""
