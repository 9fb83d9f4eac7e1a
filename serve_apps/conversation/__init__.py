"""Stored conversations and the answers being written in them; `serve_apps.conversations` leads."""
