"""What row 8 asks for, of Raydio and of the engines alone."""

LONG_QUESTION = "Tell me a long story about a lighthouse keeper and his dog, with every detail."
MAX_TOKENS = 200
"""Of an answer, as `serve_apps.realtime.config.MAX_SPOKEN_TOKENS`."""
