"""Schedules: what is restyled again and again, by a cron expression in a time zone of its own."""
