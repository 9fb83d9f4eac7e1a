"""From given files, archives and addresses to documents; `serve_apps.ingest` leads."""
