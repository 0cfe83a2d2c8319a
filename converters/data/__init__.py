"""What a student learns from: sources, splits, augmentation."""
