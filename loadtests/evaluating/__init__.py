"""From measurements to figures, their intervals, and conclusions. Pure.

`results`    from windows to figures, for each pattern and phase; `waterfall`: where the time goes
`rates`      the rate of a window, from the windows before it
`knee`       the highest sustainable load, with its interval
`verdicts`   decisions between two patterns, by bootstrap intervals
`quantities` the figures that can be named; `conditions`: the conditions a run has to meet
`caveats`    what makes a result doubtful or void
`comparison` all of it as one result
`fitting`    fits a law of throughput, or any other, to measurements
"""
