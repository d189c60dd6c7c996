"""What measurements say: figures, how sure they are, and what may be concluded. Pure.

`results`    windows to figures, a pattern and phase; `waterfall`: where the time goes
`ramp`       a rate that is just too much; `knee`: the most that is kept up for good
`rates`      how fast a window is offered, from those before it
`verdicts`   what is decided between two patterns, by the intervals of `bootstrap`
`doubts`     what makes a result doubtful or void
`scalability`  the law that throughput follows, by `solving`
"""
