"""The same checkout on other products, compared with the shop's own patterns: `make rivals`.

These modules run in an environment of their own (`.venv-rivals`, requirements/rivals.txt), and
import nothing of the shop:

`saga`       the checkout's SQL: a transaction per step
`door`       one process of a rival, which takes checkouts over HTTP
`plain`, `on_dbos`, `on_temporal`   run the steps: without an engine, with DBOS, with Temporal

These run in the clone's environment, and see a rival's door, tables and processes only:

`beside`     starts the rivals beside a shop, and checks their books at the end
`measuring`  measures all of them in turns, window by window
`ratios`     their figures and ratios; pure
`report`     the result as text and as a page
"""
