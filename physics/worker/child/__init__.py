"""What runs in the other interpreter. Needs Python 3.9 or newer and numpy, and nothing of this package."""
