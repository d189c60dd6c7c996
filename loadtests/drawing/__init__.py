"""What a stored run looks like: one HTML page, a screen of a terminal, two runs side by side.

All of it is drawn from the files of the run's folder (report.json, samples.csv, steps.csv), never
from a run in memory, so what is drawn again later is the same, byte for byte.
"""
