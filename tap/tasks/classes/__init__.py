"""Classification and few-shot classification."""
