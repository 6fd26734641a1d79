"""The asv suite: time, peak memory and, beside them, accuracy."""
