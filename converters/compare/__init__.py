"""Two bundles on the same items, through the runtime that ships: which is better, and is that certain?"""
