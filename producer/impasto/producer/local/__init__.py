"""Impasto on one machine: the embedded server, supervised workers, and how others find what runs here."""
