"""The explorer: thousands of schedules of faults, each replayable from one printed line.

    manage.py sagas explore                     100,000 different ones, in memory
    manage.py sagas explore --replay 'LINE'     the story of one, step by step

An environment offers what can happen now, what happens undisturbed first; a chooser picks. To
explore a saga of your own, write an environment (`scheduling.Environment`) and name what makes
yours:

    manage.py sagas explore --environments my.package.environments

`scheduling`   a schedule: the deviations from what happens undisturbed; plays one, and makes one
               that breaks something short; what an environment is
`exploring`    all schedules with few deviations, then random ones beyond, in several processes
`store`        to build an environment with: tables in memory, with transactions and locks
`injection`    the same: time, and crashes and pauses at named points
`sagas`        the environments of the sagas of the catalogue
"""
