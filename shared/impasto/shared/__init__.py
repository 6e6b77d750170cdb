"""What producer and worker must agree on: settings, jobs, metadata, the ledger, the store, the error tree."""
