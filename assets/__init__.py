"""Files that travel with the packages: theme, scripts, prompts, samples, the list of models."""
