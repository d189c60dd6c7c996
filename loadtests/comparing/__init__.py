"""The patterns side by side on one stack: `manage.py compare`.

`plan`        which windows, in which order; all of it follows from the seed
`run`         a whole run, from nothing or from where it was stopped, with its outage at the end
`comparison`  its result, as data, and its folder: windows, result, page
"""
