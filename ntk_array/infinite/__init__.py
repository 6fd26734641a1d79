"""What travels through an infinitely wide network, and how it is computed."""
