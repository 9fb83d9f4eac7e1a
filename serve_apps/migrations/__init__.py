"""How the database's tables came to be, a step a file; `serve_apps.database.migrate` runs what is missing."""
