"""The systems that are measured against Raydio, each a process of its own."""
