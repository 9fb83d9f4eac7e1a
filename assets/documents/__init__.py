"""Script and page of the documents panel, as package data."""
