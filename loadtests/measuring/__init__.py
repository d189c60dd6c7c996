"""What is read of a window, from the shop's own rows, its processes and the machine.

`outcomes`  how its sagas ended, and whether all is at rest
`samples`   one a saga, as data and as CSV
`timeline`  when each step was asked for, picked up and decided: its `moments`
`cost`      CPU by process (`processes`), writes, WAL, messages, calls
`machine`   what it was all made on
`rows`      dataclasses as CSV
"""
