"""Pre-training: draw the views of objects from their clouds."""
