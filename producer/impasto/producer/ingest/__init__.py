"""Pictures that arrive in S3 become pairs: events from a queue, gathered to batches, each version once."""
