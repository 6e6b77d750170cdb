"""The command line: `impasto`, one small module a command, all on `impasto.producer.Client`."""

from impasto.producer.cli.main import main

__all__ = ["main"]
