"""Results over time, in one SQLite file."""
