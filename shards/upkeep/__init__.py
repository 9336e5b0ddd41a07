"""Looking after a set: what is in it, is it whole, make it whole again."""
