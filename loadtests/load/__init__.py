"""The load: its windows, the requests of each, and the process that sends them on time.

`windows`    a window of load as data: pattern, rate, seconds, mix; and its intended starts
`plan`       the windows of a comparison, and their order
`shopper`    the requests of a shopper, and the pattern they name
`workload`   the requests of a window, and the goods they need
`generator`  starts the sending process, and gives it each window
`open_loop`  sends at fixed times, in any locustfile
`arrivals`   runs in the sending process; `client`: its timer and cheap HTTP
"""
