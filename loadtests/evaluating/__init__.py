"""What measurements say: figures, how sure they are, and what may be concluded. Pure.

`results`    windows to figures, a pattern and phase; `waterfall`: where the time goes
`rates`      how fast a window is offered, from those before it
`knee`       the most that is kept up for good, with its interval
`verdicts`   what is decided between two patterns, by bootstrap intervals
`quantities` the figures that can be named; `conditions`: what a run is held to
`caveats`    what makes a result doubtful or void
`comparison` all of it as one result
`fitting`    the law that throughput follows, and any other, fitted to what was measured
"""
