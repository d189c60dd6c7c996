"""Measures cells of load, refusals, steps and hop delay for `choose`: `manage.py survey`.

`grid`       the cells, their stacks and their order, which follow from the seed
`survey`     measures and audits one stack after the other
`cells`      the result, as data
"""
