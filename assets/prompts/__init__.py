"""System prompts."""
