"""What finished runs are used for: evaluation, prediction, comparison, the paper's tables."""
