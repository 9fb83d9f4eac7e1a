"""Small audio and documents to try the pages with."""
