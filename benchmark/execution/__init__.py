"""From cohorts to records: workers, executors, what to do when something fails, progress."""
