"""The SQL in memory, a class for each module of it, with the same functions."""
