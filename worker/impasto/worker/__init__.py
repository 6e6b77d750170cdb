"""Who computes: takes pairs off the queue and optimises pictures."""
