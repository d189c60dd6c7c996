"""Which pattern to choose: a model fitted to a survey, and its answer."""
