"""What every other package stands on: settings, tasks, errors, tables, clock, logs, leases and the shape of a job."""
