"""The list of conversations beside the chat, in the browser."""
