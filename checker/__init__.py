"""Proves the sagas right, and tries to prove them wrong; for sagas of your own, too.

`protocol`  the rules that who-says-what must keep: nothing unheard, every path ends, undos in
            reverse, one decider a choice, the same steps in each pattern
`explorer`  thousands of schedules with duplicates, losses, crashes and aborts, from a seed
`soak`      load on the real stack while its processes, database and broker are killed

Stands above the shop and reads what is really wired there; nothing of the shop knows it.
"""
