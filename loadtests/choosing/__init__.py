"""Which pattern to take: a model fitted to a survey, and the answer that follows from it."""
