"""Nights: what a schedule's fire makes, which is what is new, and what is told of it at the end."""

from impasto.producer.nights.finish import finish_nights, tell, tell_of_none
from impasto.producer.nights.run import NightOutcome, run_night
from impasto.producer.nights.summary import Night, NightSummary

__all__ = ["Night", "NightOutcome", "NightSummary", "finish_nights", "run_night", "tell", "tell_of_none"]
