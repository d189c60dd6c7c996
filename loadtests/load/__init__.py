"""The load: which windows, what their shoppers want, and how each checkout is sent at its time.

`windows`    a window of load: pattern, rate, seconds, mix; as data
`schedule`   when each checkout of a window is meant to start
`shopper`    what a shopper says to the shop, in which pattern
`workload`   what the shoppers of a window want; its carts and products from `supplies`
`generator`  the process that sends: started here, told each window over a `channel`
`arrivals`   what runs in that process; on time by its `alarm`, at the least cost by `wire`
"""
