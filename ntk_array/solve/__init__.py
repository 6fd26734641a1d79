"""Linear systems and spectra of Gram matrices."""
