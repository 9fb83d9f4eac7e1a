"""Live voice: the OpenAI Realtime protocol over a spoken conversation (`docs/realtime.md`)."""
