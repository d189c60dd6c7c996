"""The load: which windows, what their shoppers want, and how each checkout is sent at its time.

`windows`    a window of load: pattern, rate, seconds, mix; when each of its checkouts is meant to
             start; as data
`plan`       which windows a comparison is made of, in which order
`shopper`    what a shopper says to the shop, in which pattern
`workload`   what the shoppers of a window want, and what is supplied for it
`generator`  the process that sends: started here, and told each window
`open_loop`  sends at fixed times, in a locustfile of anybody's
`arrivals`   what runs in that process; on time and at the least cost by `client`
"""
