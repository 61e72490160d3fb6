"""Redis: what may be forgotten at any time, and is then made again or done without."""
