"""The same checkout on what others have built, beside the shop's own patterns: `make rivals`.

Runs in an environment of its own (`.venv-rivals`, requirements/rivals.txt), and imports nothing of
the shop:

`saga`       the checkout's SQL, plain: a transaction a step
`door`       one process of a rival: where checkouts are asked for, over HTTP
`plain`, `on_dbos`, `on_temporal`   who takes the steps: nobody, DBOS, Temporal

Runs in the clone's own, and knows a rival by its door, its tables and its processes:

`beside`     starts them beside a shop of their own, and checks their books in the end
`measuring`  all of them in turns, window by window
`ratios`     what that says; pure
`report`     how it is told
"""
