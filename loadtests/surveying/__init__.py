"""Cells of load, refusals, steps and distance, for `choose` to answer from: `manage.py survey`.

`grid`       which cells, on which stacks, in which order; all of it follows from the seed
`survey`     a stack after the other, its cells measured and audited
`cells`      the result, as data
"""
