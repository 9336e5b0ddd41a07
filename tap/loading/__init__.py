"""From shards to batches: what is read of a sample, augmentation, collation, the order of batches."""
