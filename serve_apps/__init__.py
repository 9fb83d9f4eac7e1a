"""Ray Serve applications: the stages, the conductors and the doors of Raydio."""
