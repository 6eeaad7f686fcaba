"""Brokers: who works our orders. Each adapter speaks one broker's language and knows nothing of plans or owners."""
