"""The explorer: thousands of schedules of faults, each replayable from one printed line.

    manage.py sagas explore                     100,000 different ones, in memory
    manage.py sagas explore --replay 'LINE'     the story of one, step by step

A world offers what can happen now, what happens undisturbed first; a chooser picks. To explore a
saga of your own, write a world (`scheduling.World`) and name what makes yours:

    manage.py sagas explore --worlds my.package.worlds

`scheduling`   a schedule: the deviations from what happens undisturbed; plays one, and makes one
               that breaks something short; what a world is
`exploring`    all schedules with few deviations, then random ones beyond, in several processes
`store`, `injection`  to build a world with: tables in memory with transactions and locks; time, and
               crashes and pauses at named points
`sagas`        the worlds of the sagas of the catalogue
"""
