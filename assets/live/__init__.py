"""The live conversation's page: one script in small files, joined by `ui/live.py`."""
