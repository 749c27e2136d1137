"""Which pending id is worth the next request, by what was learned of how long analyses take."""
