"""One file a row of the performance table."""
