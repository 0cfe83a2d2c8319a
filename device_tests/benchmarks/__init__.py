"""What the SDK costs and gains on this machine, measured side by side: `make bench`."""
