"""Part segmentation."""
