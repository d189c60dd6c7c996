"""What a stored run looks like: one HTML page, a screen of a terminal, two runs side by side.

All of it is drawn from the files of the run's folder (report.json, samples.csv, steps.csv), never
from a run in memory, so what is drawn again later is the same, byte for byte.

`stored`   the run as it lies there; `words`: numbers and names as people read them
`plot`     what every chart is made of; `bars`: charts of several chapters
`html`     what the page is made of, in the style of `report.css`; `page`: its chapters in order
`screen`, `differences`   the same for a terminal; `gate`: of a run that is held to conditions

Each other module is a chapter, or chapters on one subject: its words, its tables and its chart.
"""
