"""Side-by-side measurements: what Raydio adds to the engine called directly, and how peers do."""
