"""Small helpers that know nothing of arrays: progress bars, files that are written whole."""
