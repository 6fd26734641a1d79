"""Factorisations of Gram matrices: linear systems, determinants and functions of the eigenvalues."""
