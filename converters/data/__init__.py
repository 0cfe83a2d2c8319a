"""What a student learns from: sources, splits, what is fitted to them, augmentation."""
