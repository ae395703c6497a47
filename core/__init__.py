"""The ground of every other package: errors, files, logs, database, settings, tasks, jobs, tokens."""
