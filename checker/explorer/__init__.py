"""The explorer: thousands of schedules of faults, each replayable from one printed line.

    manage.py sagas explore                     100,000 different schedules, in memory
    manage.py sagas explore --replay 'LINE'     one schedule, step by step

An environment offers the possible next events, the undisturbed one first; a chooser picks one. To
explore a saga of your own, write an environment (`scheduling.Environment`) and name the function
that makes it:

    manage.py sagas explore --environments my.package.environments

`scheduling`   schedules as deviations from the undisturbed run; playing and shrinking them; the
               protocol of an environment
`exploring`    all schedules with few deviations, then random ones, in several processes
`store`        for building an environment: tables in memory, with transactions and locks
`injection`    the same: time, and crashes and pauses at failpoints
`sagas`        the environments of the catalogue's sagas
"""
