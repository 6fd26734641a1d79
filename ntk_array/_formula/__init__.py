"""Code as data: elementwise array code recorded as a formula, and what compiles it."""
