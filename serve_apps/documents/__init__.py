"""Documents from files to passages: one file a format, each in a process of its own."""
