"""Runnable stories: each file defines a problem and strategies, and `invdesign run FILE` runs them."""
