"""What a stored run looks like: one HTML page, a screen of a terminal, two runs side by side.

Everything is drawn from the files in the run's folder (report.json, samples.csv, steps.csv), never
from a run in memory, so rendering a run again gives the same bytes.

`stored`   reads these files; `words`: numbers and names for people
`plot`     the elements of every chart; `bars`: bar charts
`html`     the elements of the page, styled by `report.css`; `page`: its chapters in order
`screen`, `differences`   text for a terminal; `gate`: how a run meets its conditions

Every other module is one chapter, or several on one subject: its text, tables and chart.
"""
