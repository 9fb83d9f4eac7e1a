"""Documents to try the chat with; everything in them is made up."""
