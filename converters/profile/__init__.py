"""What the device will need, made from the validation split: drift reference, confusion, cascade."""
