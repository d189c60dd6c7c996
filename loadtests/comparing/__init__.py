"""The patterns side by side on one stack: `manage.py compare`.

`plan`            which windows, in which order; all of it follows from the seed
`run`             a whole run, from nothing or from where it was stopped; `ongoing`: while it lasts
`closing_outage`  the outage at the end of a full run
`store`           its folder
`comparison`      its result, as data; `report`: that result as files and a page
"""
